/** `received` costs what it covers, however many conversations there are and however much waits behind it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { userAddress, type GroupAddress, type UserId } from "../../src/domain/address.ts";
import type { Seq, StoredEntry } from "../../storage/types.ts";
import { RestartedShards } from "./restarted-shards.ts";

const ann = "ann" as UserId;
const CLUB = "#club" as GroupAddress;
const SENDERS = Array.from({ length: 100 }, (_, n) => `sender-${n}` as UserId);
const EACH = 7;
const COUNT = SENDERS.length * EACH;

let shards: RestartedShards;
beforeEach(async () => {
  shards = new RestartedShards();
  await shards.begin([ann], CLUB, SENDERS);
  for (let n = 0; n < EACH; n++) {
    const request = { to: userAddress(ann), text: "hello", ref: `r-${n}`, retry: false };
    await Promise.all(SENDERS.map((sender) => shards.send(sender, request)));
  }
});
afterEach(() => shards.close());

const state = (user: UserId) => shards.host.users.get(user)!;
const delivered = (sender: UserId): number => state(sender).conversation(userAddress(ann)).delivered;

/** Entries of ann's timeline that are read from now on. */
function countReads(): () => number {
  const { log } = state(ann);
  let read = 0;
  for (const name of ["readForward", "readLaneBackward", "readLaneForward"] as const) {
    const original = log[name].bind(log) as (...args: unknown[]) => StoredEntry[];
    log[name] = (...args: unknown[]) => {
      const found = original(...args);
      read += found.length;
      return found;
    };
  }
  return () => read;
}

async function received(seq: number): Promise<void> {
  shards.host.home(ann).marks.received(state(ann), seq as Seq);
  await settled();
}

/** Steps that were left to later turns are done. */
async function settled(): Promise<void> {
  while (state(ann).pendingMarks > 0) {
    shards.host.markTurns.hurry();
    await shards.host.store.idle();
    await new Promise((resolve) => void setImmediate(resolve));
  }
}

test("one message at a time reads each message once, and each sender's receipt is true at every moment", async () => {
  const first = state(ann).headSeq - COUNT;
  const reads = countReads();
  for (let n = 1; n <= COUNT; n++) {
    await received(first + n);
    const sender = SENDERS[(n - 1) % SENDERS.length]!;
    expect(delivered(sender)).toBe(Math.ceil(n / SENDERS.length));
  }
  expect(reads()).toBeLessThanOrEqual(COUNT);
});

test("all of it at once reads nothing: the conversations know", async () => {
  const reads = countReads();
  await received(state(ann).headSeq);
  expect(reads()).toBe(0);
  for (const sender of SENDERS) expect(delivered(sender)).toBe(EACH);
});

test("what is said while a large part is being worked out counts as well, and a crash in between lies to nobody", async () => {
  const head = state(ann).headSeq;
  const { marks } = shards.host.home(ann);
  marks.received(state(ann), (head - 3) as Seq);
  marks.received(state(ann), (head - 1) as Seq);
  expect(delivered(SENDERS.at(-1)!)).toBeLessThan(EACH);
  await settled();
  expect(delivered(SENDERS.at(-2)!)).toBe(EACH);
  expect(delivered(SENDERS.at(-1)!)).toBe(EACH - 1);
  await shards.crash(() => 0.5);
  await received(state(ann).headSeq);
  for (const sender of SENDERS) expect(delivered(sender)).toBe(EACH);
});
