import { expect, test } from "bun:test";
import { userAddress, type UserId } from "../../src/domain/address.ts";
import { readTimelineEntry } from "../../src/domain/entries.ts";
import { SHARD_STREAM } from "../../src/home/state/cells.ts";
import type { UserState } from "../../src/home/state/user-state.ts";
import type { Seq } from "../../storage/types.ts";
import { SEED } from "../support/seed.ts";
import { until } from "../support/wait.ts";
import { ADDRESSES, FaultyTalk, PEOPLE } from "./faulty-talk.ts";

const RUNS = Number(process.env["RUNS"] ?? 10);
const STEPS = 150;

type Pair = { readonly from: UserId; readonly to: UserId };
const PAIRS = PEOPLE.flatMap((from) => PEOPLE.filter((to) => to !== from).map((to): Pair => ({ from, to })));

test("receipts tell the truth and all of it, whatever becomes of what crosses between shards (G6)", async () => {
  for (let run = 0; run < RUNS; run++) {
    const seed = SEED + run;
    const talk = new FaultyTalk(seed);
    try {
      await talk.begin();
      for (let step = 0; step < STEPS; step++) {
        await takeStep(talk);
        for (const pair of PAIRS) expectTrue(talk, pair);
      }
      await talk.settle();
      for (const user of PEOPLE) sayAll(talk, user);
      await until("everything is told", () => isAllTold(talk));
      await talk.crash();
      for (const pair of PAIRS) expect([pair, told(talk, pair)]).toEqual([pair, newest(talk, pair)]);
      await talk.shards.close();
    } catch (error) {
      throw new Error(`SEED=${seed} RUNS=1 npm test -- test/home/faulty-receipts`, { cause: error });
    }
  }
}, 120_000);

const state = ({ shards }: FaultyTalk, user: UserId): UserState => shards.host.users.get(user)!;

async function takeStep(talk: FaultyTalk): Promise<void> {
  const { random } = talk;
  const drawn = random();
  const user = PEOPLE[Math.floor(random() * PEOPLE.length)]!;
  if (drawn < 0.35) talk.say(user, ADDRESSES[Math.floor(random() * ADDRESSES.length)]!);
  else if (drawn < 0.6) mark(talk, user);
  else if (drawn < 0.9) await talk.turns(Math.floor(random() * 12));
  else if (drawn < 0.95) talk.shards.passedMs += 1000;
  else await talk.crash();
}

/** A device says how far it has the timeline, and that some of it was read. */
function mark(talk: FaultyTalk, user: UserId): void {
  const { marks } = talk.shards.host.home(user);
  const owner = state(talk, user);
  const seq = Math.ceil(talk.random() * owner.headSeq) as Seq;
  marks.received(owner, seq);
  for (const { address, incoming } of owner.conversations.values()) {
    if (incoming > 0 && talk.random() < 0.5) marks.read(owner, address, Math.ceil(talk.random() * seq) as Seq);
  }
}

function sayAll(talk: FaultyTalk, user: UserId): void {
  const { marks } = talk.shards.host.home(user);
  const owner = state(talk, user);
  marks.received(owner, owner.headSeq);
  for (const { address, incoming } of owner.conversations.values())
    if (incoming > 0) marks.read(owner, address, owner.headSeq);
}

/** What the sender was told, in the sender's numbering. */
function told(talk: FaultyTalk, { from, to }: Pair): { delivered: number; read: number } {
  const { delivered, seen } = state(talk, from).conversation(userAddress(to));
  return { delivered, read: seen };
}

/** Seqs of the messages that the receiver has of this sender, in the receiver's numbering and in the sender's. */
function taken(talk: FaultyTalk, { from, to }: Pair): { seq: number; fromSeq: number }[] {
  const owner = state(talk, to);
  return owner.log.readLaneForward(owner.address, userAddress(from), 0 as Seq, 10_000).flatMap((stored) => {
    const entry = readTimelineEntry(stored);
    return entry.kind === "taken" ? [{ seq: stored.seq, fromSeq: entry.fromSeq }] : [];
  });
}

const newest = (talk: FaultyTalk, pair: Pair): { delivered: number; read: number } => {
  const seq = taken(talk, pair).at(-1)?.fromSeq ?? 0;
  return { delivered: seq, read: seq };
};

/** What a sender was told the receiver has; and what the receiver's own marks cover was told, or is noted to be. */
function expectTrue(talk: FaultyTalk, pair: Pair): void {
  const { from, to } = pair;
  const messages = taken(talk, pair);
  const { delivered, read } = told(talk, pair);
  const known = messages.at(-1)?.fromSeq ?? 0;
  expect(delivered).toBeLessThanOrEqual(known);
  expect(read).toBeLessThanOrEqual(known);
  const { log, received, conversations } = state(talk, to);
  if (log.cell(SHARD_STREAM, `untold/${userAddress(to)}/${userAddress(from)}`) !== undefined) return;
  const through = (seq: number): number => messages.findLast((one) => one.seq <= seq)?.fromSeq ?? 0;
  expect(delivered).toBeGreaterThanOrEqual(through(received));
  expect(read).toBeGreaterThanOrEqual(through(conversations.get(userAddress(from))?.ownRead ?? 0));
}

async function isAllTold(talk: FaultyTalk): Promise<boolean> {
  await talk.turns(20);
  talk.shards.passedMs += 1000;
  return PEOPLE.every((user) => {
    const { pendingMarks, received, headSeq, log } = state(talk, user);
    const isNoted = [...log.cells(SHARD_STREAM).keys()].some((key) => key.startsWith("untold/"));
    return pendingMarks === 0 && received === headSeq && !isNoted;
  });
}
