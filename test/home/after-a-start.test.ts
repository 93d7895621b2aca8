/** What the shards ask of the disk when everybody comes back: a look-up for each user, none for each message. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { userAddress, type Address, type GroupAddress, type UserId } from "../../src/domain/address.ts";
import type { Seq } from "../../storage/types.ts";
import { HandoffProgress } from "../../src/home/handoffs/handoffs.ts";
import { HELD_MAX } from "../../src/home/state/undelivered-queue.ts";
import { RestartedShards } from "./restarted-shards.ts";

const [ann, ben] = ["ann", "ben"] as [UserId, UserId];
const CLUB = "#club" as GroupAddress;

let shards: RestartedShards;
beforeEach(async () => {
  shards = new RestartedShards();
  await shards.begin([ann, ben], CLUB);
});
afterEach(() => shards.close());

const say = (from: UserId, to: Address, ref: string) => shards.send(from, { to, text: "hello", ref, retry: false });

const asked = (...names: string[]): number => names.reduce((sum, name) => sum + (shards.asked.get(name) ?? 0), 0);

test.each(["same", "new"])("rising refs cost one look-up, however many follow (%s prefix)", async (kind) => {
  for (let n = 0; n < 100; n++) await say(ann, n % 2 === 0 ? userAddress(ben) : CLUB, `k3-${n}`);
  await shards.restart();
  shards.asked.clear();
  for (let n = 100; n < 200; n++)
    expect(
      (await say(ann, n % 2 === 0 ? userAddress(ben) : CLUB, `${kind === "same" ? "k3-" : "z9-"}${n}`)).isDuplicate,
    ).toBe(false);
  // Once at the group's shard, for the first post of this author that comes to it.
  expect([asked("findKey"), asked("highestCounter")]).toEqual([1, 1]);
});

test("refs of several devices cost one look-up for each device", async () => {
  for (let n = 0; n < 50; n++) await say(ann, userAddress(ben), `k3-${n}`);
  await shards.restart();
  shards.asked.clear();
  for (let n = 50; n < 100; n++) for (const device of ["k3", "z9", "q1"]) await say(ann, CLUB, `${device}-${n}`);
  expect([asked("findKey"), asked("highestCounter")]).toEqual([1, 3]);
});

test("a device that keeps up with what comes costs no look-up for each `received`, though it never has the newest", async () => {
  for (let n = 0; n < 50; n++) await say(ann, userAddress(ben), `k3-${n}`);
  shards.host.home(ben).marks.received(shards.host.users.get(ben)!, shards.host.users.get(ben)!.headSeq);
  await say(ben, userAddress(ann), "own-1");
  shards.host.markTurns.hurry();
  await shards.host.store.idle();
  await shards.restart();
  const receiver = shards.host.users.get(ben)!;
  await say(ann, userAddress(ben), "k3-50");
  shards.asked.clear();
  for (let n = 51; n < 150; n++) {
    await say(ann, userAddress(ben), `k3-${n}`);
    shards.host.home(ben).marks.received(receiver, (receiver.headSeq - 1) as Seq);
    await shards.host.store.idle();
    const { delivered } = shards.host.users.get(ann)!.conversation(userAddress(ben));
    expect(delivered).toBe((shards.host.users.get(ann)!.headSeq - 1) as Seq);
  }
  expect(asked("readLaneBackward")).toBe(0);
});

test("what was too much to hold is worked out from the log, and what comes later is held again", async () => {
  const [toBen, sender] = [userAddress(ben), shards.host.users.get(ann)!];
  const receiver = shards.host.users.get(ben)!;
  const before = receiver.headSeq;
  const seqs: number[] = [];
  const sayMany = async (count: number): Promise<void> => {
    const answers = Array.from({ length: count }, (_, n) => say(ann, toBen, `k3-${seqs.length + n}`));
    for (const { sent } of await Promise.all(answers)) seqs.push(sent!.seq);
  };
  const received = async (count: number): Promise<number> => {
    shards.host.home(ben).marks.received(receiver, (before + count) as Seq);
    await shards.host.store.idle();
    return seqs.indexOf(sender.conversation(toBen).delivered) + 1;
  };
  await sayMany(HELD_MAX + 100);
  expect(await received(7)).toBe(7);
  expect(await received(HELD_MAX + 1)).toBe(HELD_MAX + 1);
  await sayMany(50);
  shards.asked.clear();
  for (const count of [HELD_MAX + 2, HELD_MAX + 99, HELD_MAX + 101, HELD_MAX + 149, HELD_MAX + 150])
    expect(await received(count)).toBe(count);
  expect(asked("readLaneBackward")).toBe(0);
});

test("marks of handoffs are written a shard at a time, and where they stand is looked up once", async () => {
  let marks = new HandoffProgress(shards.host.logger);
  const write = async (): Promise<number> => {
    let steps = 0;
    for (const _ of marks.steps(shards.host.shards(), () => false)) {
      steps++;
      await shards.host.store.idle();
    }
    return steps;
  };
  await write();
  await shards.restart();
  marks = new HandoffProgress(shards.host.logger);
  await say(ann, userAddress(ben), "k3-1");
  await say(ann, CLUB, "k3-2");
  shards.asked.clear();
  // Those of Ann, of Ben and of the group, and of ranks, which were reserved.
  expect([await write(), asked("head")]).toEqual([4, 3]);
  expect(await write()).toBe(0);
  await say(ann, userAddress(ben), "k3-3");
  await shards.flush();
  await say(ann, userAddress(ben), "k3-4");
  shards.asked.clear();
  expect([await write(), asked("head")]).toEqual([2, 0]);
});

test("no mark of a handoff is written any more once that is over", async () => {
  await say(ann, userAddress(ben), "k3-1");
  const written = () => shards.host.log(userAddress(ann)).durableThrough;
  const before = written();
  expect([...new HandoffProgress(shards.host.logger).steps(shards.host.shards(), () => true)]).toEqual([]);
  await shards.host.store.idle();
  expect(written()).toBe(before);
});
