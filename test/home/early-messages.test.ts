/** Messages that overtake each other on their way from shard to shard: they are accepted in their order, without coming twice. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { userAddress, type GroupAddress, type UserId } from "../../src/domain/address.ts";
import { readTimelineEntry } from "../../src/domain/entries.ts";
import { takeHandoff } from "../../src/home/handoffs/take-handoff.ts";
import type { MessageHandoff } from "../../src/home/messages/handoff.ts";
import type { Seq } from "../../storage/types.ts";
import { randomFrom } from "../support/random.ts";
import { SEED } from "../support/seed.ts";
import { RestartedShards } from "./restarted-shards.ts";

const [ann, ben] = ["ann", "ben"] as UserId[] as [UserId, UserId];
const CLUB = "#club" as GroupAddress;
let shards: RestartedShards;
let confirmed: number[];
let missing: number[];

beforeEach(async () => {
  shards = new RestartedShards();
  await shards.begin([ann], CLUB, [ben]);
  [confirmed, missing] = [[], []];
});
afterEach(() => shards.close());

/** The seqs rise by two: between them Ann writes to others. */
const message = (n: number, text = `text ${n}`): MessageHandoff => ({
  kind: "message",
  from: userAddress(ann),
  to: userAddress(ben),
  receiver: ben,
  seq: (2 * n) as Seq,
  prev: (2 * n - 2) as Seq,
  streamNo: 1,
  sentAt: 1,
  rank: n,
  text,
  id: `id-${n}`,
  textJson: JSON.stringify(text),
});

const comes = (handoff: MessageHandoff): void =>
  takeHandoff(shards.host.home(ben), handoff, {
    confirmed: (through) => void confirmed.push(through),
    missing: (through) => void missing.push(through),
    notTaken: (error) => expect(error).toBeUndefined(),
  });

async function texts(): Promise<string[]> {
  await shards.host.arrivalsIdle();
  await shards.host.store.idle();
  const log = shards.host.home(ben).log.readForward(userAddress(ben), 0 as Seq, 1000);
  return log.map(readTimelineEntry).flatMap((entry) => (entry.kind === "taken" ? [entry.text] : []));
}

const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);

test("each comes once, in any order, and all are accepted in theirs and confirmed", async () => {
  await texts();
  const random = randomFrom(SEED);
  const order = upTo(100)
    .map((n) => [random(), n] as const)
    .toSorted(([a], [b]) => a - b);
  for (const [, n] of order) comes(message(n));
  expect(await texts()).toEqual(upTo(100).map((n) => `text ${n}`));
  expect(confirmed.toSorted((a, b) => a - b)).toEqual(upTo(100).map((n) => 2 * n));
  expect(missing.length).toBeGreaterThan(0);
});

test("repeats of those that wait are accepted once", async () => {
  for (const n of [3, 2, 3, 3, 2, 1, 2, 3, 1]) comes(message(n));
  expect(await texts()).toEqual(["text 1", "text 2", "text 3"]);
});

test("what waits is bounded, in messages and in characters, and the rest comes again", async () => {
  const long = "x".repeat(16_000);
  for (const n of upTo(200).slice(1)) comes(message(n, long));
  comes(message(1));
  const kept = await texts();
  expect(kept.length).toBeGreaterThan(10);
  expect(kept.length * long.length).toBeLessThan((1 << 19) + long.length);
  for (const n of upTo(1000).slice(kept.length + 1)) comes(message(n, "short"));
  comes(message(kept.length + 1));
  const rest = (await texts()).length - kept.length;
  expect(rest).toBe(257);
});

test("what waited for a message that came otherwise is forgotten", async () => {
  comes(message(3));
  comes({ ...message(4), prev: 0 as Seq });
  comes(message(5));
  expect(await texts()).toEqual(["text 4", "text 5"]);
});
