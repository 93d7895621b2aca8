/** What a user stores is what the logs have of it, whatever has happened, and is counted anew only where nobody has counted. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { systemRandom } from "../../src/base/random.ts";
import { userAddress, type GroupAddress, type UserId } from "../../src/domain/address.ts";
import { atOnce, nextTurn, type Steps } from "../../src/base/steps.ts";
import { CELLS_LAG_MAX, encodeCell } from "../../src/home/state/cells.ts";
import { writeRecord } from "../../src/home/durable.ts";
import { eraseEntries, gatherPosted } from "../../src/home/erasing/erasure.ts";
import { mend } from "../../src/node/mend/mend.ts";
import { mustHaveRoom } from "../../src/home/sending/stored-quota.ts";
import type { Cast } from "../../src/home/messages/cast.ts";
import { addUp, answerPostedBytes } from "../../src/home/sending/stored-counts.ts";
import type { Seq } from "../../storage/types.ts";
import { ADDRESSES, CLUB, CREW, GROUPS, PEOPLE } from "./talk.ts";
import { randomFrom } from "../support/random.ts";
import { SEED, seeded } from "../support/seed.ts";
import { until } from "../support/wait.ts";
import { ErasureModel, GROUP, USERS } from "./erasure-model.ts";
import { WrittenBytes } from "./written-bytes.ts";

const [ANN, BEN, CAT, DAN] = PEOPLE as [UserId, UserId, UserId, UserId];

const person = fc.constantFrom(...PEOPLE);
const lengths = fc.oneof(
  fc.array(fc.nat(40), { minLength: 1, maxLength: 3 }),
  fc.array(fc.nat(9), { minLength: 20, maxLength: 60 }),
);
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("write" as const),
      from: person,
      to: fc.constantFrom(...ADDRESSES),
      lengths,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("membership" as const),
      group: fc.constantFrom(...GROUPS),
      who: person,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("erase" as const), who: person }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("keep" as const), seconds: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("count" as const), who: person }) },
  { weight: 1, arbitrary: fc.constant({ kind: "quota on or off" as const }) },
  { weight: 4, arbitrary: fc.constantFrom(...(["flush", "restart", "crash"] as const).map((kind) => ({ kind }))) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function take(written: WrittenBytes, one: Step): Promise<void> {
  const { talk, limits } = written;
  switch (one.kind) {
    case "write":
      if (written.mayWrite(one.from, one.to)) await written.write(one.from, one.to, written.texts(one.lengths));
      return;
    case "membership": {
      const change = talk.group(one.group).members.has(one.who) ? "left" : "joined";
      return talk.change(one.group, { change, user: one.who });
    }
    case "erase":
      return written.erase(one.who);
    case "keep":
      return written.keep(one.seconds);
    case "count":
      // Not waited for: what comes next happens while it is counted.
      return written.count(one.who);
    case "quota on or off":
      if (limits.storedBytesMax === undefined) limits.storedBytesMax = Number.MAX_SAFE_INTEGER;
      else delete limits.storedBytesMax;
      return talk.shards.crash(randomFrom(SEED));
    case "flush":
      return talk.shards.flush();
    case "restart":
      return talk.shards.restart();
    case "crash":
      return talk.shards.crash(randomFrom(SEED));
  }
}

test("whatever was written, erased, kept, flushed and crashed, what a user stores is what the logs have of it", async () => {
  const property = fc.asyncProperty(fc.array(step, { maxLength: 40, size: "max" }), async (steps) => {
    const written = new WrittenBytes({ storedBytesMax: Number.MAX_SAFE_INTEGER });
    await written.begin();
    for (const [at, one] of steps.entries()) {
      await take(written, one);
      if (at % 8 === 7) await written.expectAll();
    }
    await written.expectAll();
    await written.talk.shards.crash(randomFrom(SEED));
    await written.expectAll();
    await written.talk.shards.restart();
    await written.expectAll();
    await written.talk.shards.close();
  });
  await fc.assert(property, seeded(40));
}, 120_000);

let written: WrittenBytes;
beforeEach(async () => {
  written = new WrittenBytes();
  await written.begin();
});
afterEach(() => written.talk.shards.close());

const hellos = (count: number): string[] => Array.from({ length: count }, () => "hello");

test("what others write to a user counts as theirs", async () => {
  await written.write(ANN, userAddress(BEN), hellos(3));
  await written.write(ANN, CLUB, hellos(2));
  expect([await written.counted(ANN), await written.counted(BEN), await written.counted(CAT)]).toEqual([25, 0, 0]);
});

test("what is on its way to the log counts before it is durable", async () => {
  await written.counted(ANN);
  const answers = Promise.all([
    written.write(ANN, userAddress(BEN), hellos(3)),
    written.write(ANN, CLUB, hellos(2)),
    written.write(ANN, userAddress(ANN), hellos(1)),
  ]);
  expect([written.user(ANN).sentBytes, written.user(ANN).storedBytes]).toEqual([0, 30]);
  await answers;
  await written.host.store.idle();
  expect([written.user(ANN).bytesOnTheWay, written.user(ANN).storedBytes]).toEqual([0, 30]);
});

test("a group that was counted once is not counted again after a crash, nor after a flush and a start", async () => {
  await written.write(ANN, CLUB, hellos(2));
  await written.counted(BEN);
  await written.talk.shards.crash(randomFrom(1));
  expect(written.talk.group(CLUB).authorBytes.isCounted).toBe(true);
  await written.write(ANN, CLUB, hellos(CELLS_LAG_MAX));
  await written.talk.shards.restart();
  expect(written.talk.group(CLUB).authorBytes.isCounted).toBe(true);
  expect(written.talk.group(CLUB).authorBytes.of(ANN)).toBe((2 + CELLS_LAG_MAX) * 5);
});

test("a group is not counted, and gets no cells for it, before somebody asks", async () => {
  await written.write(ANN, CLUB, hellos(2 * CELLS_LAG_MAX));
  await written.talk.shards.restart();
  expect(written.talk.group(CLUB).authorBytes.isCounted).toBe(false);
  expect([...written.host.log(CLUB).cells(CLUB).keys()].filter((key) => key.startsWith("wrote/"))).toEqual([]);
});

test("a timeline of a version that did not count is counted once, and goes on from there", async () => {
  await written.write(ANN, userAddress(BEN), hellos(2 * CELLS_LAG_MAX));
  await written.asBefore(ANN);
  expect(written.user(ANN).storedBytes).toBeUndefined();
  expect(await written.counted(ANN)).toBe(2 * CELLS_LAG_MAX * 5);
  await written.write(ANN, userAddress(BEN), hellos(1));
  await written.talk.shards.crash(randomFrom(1));
  expect(written.user(ANN).sentBytes).toBe((2 * CELLS_LAG_MAX + 1) * 5);
});

test("a group that was written to by a version that does not count is counted anew, and who is not in it any more has nothing", async () => {
  await written.write(ANN, CLUB, hellos(CELLS_LAG_MAX));
  await written.write(BEN, CLUB, hellos(2));
  expect(await written.counted(BEN)).toBe(10);
  await written.talk.shards.restart();
  const group = written.talk.group(CLUB);
  const head = group.derivedCells()[0]![1]!;
  // Its last field is the one that says so.
  await writeRecord(group.log, () => {
    group.log.putCell(group.handle, "head", head.subarray(0, -1));
    group.log.putCell(group.handle, "wrote/nobody", encodeCell(7, 1));
  });
  await written.talk.shards.restart();
  expect(written.talk.group(CLUB).authorBytes.isCounted).toBe(false);
  expect(await written.counted(BEN)).toBe(10);
  await written.talk.shards.restart();
  const counted = [...written.host.log(CLUB).cells(CLUB).keys()].filter((key) => key.startsWith("wrote/")).toSorted();
  expect(counted).toEqual(["wrote/ann", "wrote/ben"]);
});

test("a repair forgets counts that may be older, or newer, than the entries that it saved", async () => {
  await written.write(ANN, userAddress(BEN), hellos(2 * CELLS_LAG_MAX));
  await written.write(ANN, CLUB, hellos(2));
  await written.counted(ANN);
  await written.talk.shards.restart();
  const { user, group } = { user: written.user(ANN), group: written.talk.group(CLUB) };
  await writeRecord(group.log, (log) => log.putCell(group.handle, "wrote/ann", encodeCell(7, 3)));
  user.sentBytes += 1000;
  await writeRecord(user.log, (log) => log.putCell(user.handle, "head", user.derivedCells()[0]![1]));
  await written.talk.shards.restart();
  expect(await written.counted(ANN)).toBe(written.inLogs(ANN) + 1000 - 3);
  const lost = [user.log.shard, group.log.shard].map((shard) => {
    return { shard, mayLackNewest: true, mayShowErased: true, lost: [] };
  });
  await mend(written.host, lost, systemRandom);
  await written.expectAll();
  await written.talk.shards.restart();
  await written.expectAll();
});

test("messages are taken and answered while a long history is counted, and count as well", async () => {
  for (let n = 0; n < 20; n++) await written.write(BEN, CLUB, hellos(200));
  await written.write(ANN, CLUB, hellos(1));
  const { monotonicMs } = written.host.clock;
  // Each look at the clock is a millisecond later: a step takes at least one.
  let looks = 0;
  Object.assign(written.host.clock, { monotonicMs: () => monotonicMs() + ++looks });
  written.count(ANN);
  let answered = 0;
  for (let turn = 0; turn < 4; turn++) {
    await nextTurn();
    expect(written.user(ANN).posted?.isCounted ?? false).toBe(false);
    void written.write(ANN, CLUB, ["during"]).then(() => answered++);
  }
  await written.host.storedCounts.idle();
  await written.host.store.idle();
  expect(answered).toBe(4);
  expect(written.user(ANN).storedBytes).toBe(written.inLogs(ANN));
  expect(written.inLogs(ANN)).toBe(5 + 4 * 6);
});

test.each<[string, () => Promise<unknown>]>([
  ["a crash", () => written.talk.shards.crash(randomFrom(1))],
  ["further flushes", () => written.write(CAT, CLUB, hellos(CELLS_LAG_MAX)).then(() => written.talk.shards.restart())],
])("a flush between an erasure's record and its being durable leaves the count true after %s", async (_, next) => {
  const { shards } = written.talk;
  await shards.restart();
  await written.write(ANN, CLUB, hellos(CELLS_LAG_MAX));
  await written.counted(ANN);
  shards.memtableBytesMax = 20_000;
  await shards.restart();
  await written.write(BEN, CLUB, hellos(1));
  const group = written.talk.group(CLUB);
  const posts = written.write(
    BEN,
    CLUB,
    Array.from({ length: CELLS_LAG_MAX }, () => "x".repeat(1000)),
  );
  const { flushes } = group.log;
  const others = written.write(DAN, CLUB, hellos(1));
  await nextTurn();
  const { erasure } = gatherPosted(group, 0 as Seq, 5 as Seq, () => "erase");
  const erased = eraseEntries(written.host.ownerOf(CLUB), group, erasure);
  // The frame with the posts is being written, and the erasure is in the next one.
  expect(group.headSeq).toBeLessThan(group.nextSeq - 1);
  await Promise.all([posts, others]);
  const hasBegunFlush = group.log.isFlushing || group.log.flushes > flushes;
  expect([group.headSeq === group.nextSeq - 1, hasBegunFlush, group.erasures]).toEqual([true, true, 0]);
  await erased;
  await written.flushed();
  await next();
  expect([await written.counted(BEN), await written.counted(DAN)]).toEqual([5 + CELLS_LAG_MAX * 1000, 5]);
  await written.expectAll();
});

/** A count that has done so many steps. */
function begun<Result>(count: Steps<Result>, steps: number): Steps<Result> {
  for (let step = 0; step < steps; step++) expect(count.next().done).toBe(false);
  return count;
}

const countPosts = (author: UserId, group: GroupAddress) =>
  answerPostedBytes(written.host.ownerOf(group), { group, author });

const countAll = (name: UserId): Steps<void> => addUp(written.host.home(name), written.user(name));

/** What becomes of casts. */
function castsGo(cast: (cast: Cast, deliver: (cast: Cast) => void) => void): void {
  const { router } = written.host.home(ANN);
  const deliver = router.cast.bind(router);
  Object.assign(router, { cast: (one: Cast) => cast(one, deliver) });
}

describe("while a history is counted", () => {
  const LONG = 900;

  test("what is erased in it does not count: posts", async () => {
    await written.write(ANN, CLUB, hellos(LONG));
    const steps = begun(countPosts(ANN, CLUB), 3);
    await written.erase(ANN);
    await written.write(ANN, CLUB, hellos(2));
    expect(atOnce(steps)).toEqual({ bytes: 10, through: written.talk.group(CLUB).headSeq });
    expect([await written.counted(ANN), written.inLogs(ANN)]).toEqual([10, 10]);
  });

  test("what is erased in it does not count: direct messages", async () => {
    await written.write(ANN, userAddress(BEN), hellos(LONG));
    await written.asBefore(ANN);
    const steps = begun(countAll(ANN), 3);
    await written.erase(ANN);
    await written.write(ANN, userAddress(BEN), hellos(2));
    await written.host.turns.run(steps);
    expect([written.user(ANN).storedBytes, written.inLogs(ANN)]).toEqual([10, 10]);
  });

  test("what is posted in a group that is counted already changes the sum", async () => {
    await written.write(ANN, CLUB, hellos(3));
    await written.write(BEN, CREW, hellos(LONG));
    const steps = countAll(ANN);
    while (written.user(ANN).posted?.has(CREW) !== true) {
      const { value } = steps.next();
      if (value !== undefined) await value;
    }
    await written.write(ANN, CLUB, hellos(2));
    await written.host.turns.run(steps);
    expect([written.user(ANN).storedBytes, written.inLogs(ANN)]).toEqual([25, 25]);
  });

  test("an erasure that is on its way when the count ends is counted once, and so after a crash", async () => {
    await written.write(ANN, CLUB, hellos(LONG));
    const group = written.talk.group(CLUB);
    atOnce(countPosts(ANN, CLUB));
    const { erasure } = gatherPosted(group, 0 as Seq, 6 as Seq, () => "erase");
    const erased = eraseEntries(written.host.ownerOf(CLUB), group, erasure);
    const counted = written.host.turns.run(countAll(ANN));
    await Promise.all([erased, counted]);
    expect([written.user(ANN).storedBytes, written.inLogs(ANN)]).toEqual([(LONG - 5) * 5, (LONG - 5) * 5]);
    await written.talk.shards.crash(randomFrom(1));
    await written.expectAll();
  });

  test("an answer that comes late counts no post twice, and forgets none", async () => {
    await written.write(ANN, CLUB, hellos(3));
    const { router } = written.host.home(ANN);
    const late = Promise.withResolvers<void>();
    const asked: string[] = [];
    const ask = router.ask.bind(router);
    Object.assign(router, {
      async ask(...question: Parameters<typeof ask>) {
        asked.push(question[0]);
        const answer = await ask(...question);
        await late.promise;
        return answer;
      },
    });
    const counted = written.host.turns.run(countAll(ANN));
    await until("a group was asked", () => asked.includes("postedBytes"));
    for (let n = 0; n < 5; n++) await written.write(ANN, CLUB, hellos(1));
    late.resolve();
    await counted;
    expect([written.user(ANN).storedBytes, written.inLogs(ANN)]).toEqual([40, 40]);
  });
});

describe("what a group's shard says of erased posts", () => {
  const erase = async (through: number): Promise<void> => {
    const group = written.talk.group(CLUB);
    const { erasure } = gatherPosted(group, 0 as Seq, through as Seq, () => "erase");
    await eraseEntries(written.host.ownerOf(CLUB), group, erasure);
  };

  test("may come twice, and in another order", async () => {
    await written.write(ANN, CLUB, hellos(6));
    await written.counted(ANN);
    const held: (() => void)[] = [];
    castsGo((cast, deliver) => (cast.kind === "postedBytes" ? void held.push(() => deliver(cast)) : deliver(cast)));
    await erase(3);
    await erase(5);
    expect(written.user(ANN).storedBytes).toBe(30);
    for (const cast of [held[1]!, held[0]!, held[1]!]) cast();
    expect([written.user(ANN).storedBytes, written.inLogs(ANN)]).toEqual([10, 10]);
  });

  test("may be lost: whoever is refused for it is counted anew", async () => {
    await written.write(ANN, CLUB, hellos(6));
    await written.counted(ANN);
    castsGo((cast, deliver) => (cast.kind === "postedBytes" ? undefined : deliver(cast)));
    await erase(5);
    const send = (): void => mustHaveRoom(written.host.home(ANN), written.user(ANN), 30, written.talk.shards.passedMs);
    expect(send).toThrow("30 bytes");
    written.talk.shards.passedMs += 60_000;
    expect(send).toThrow("30 bytes");
    await written.host.storedCounts.idle();
    expect([written.user(ANN).storedBytes, written.inLogs(ANN)]).toEqual([10, 10]);
    written.talk.shards.passedMs += 60_000;
    send();
  });
});

test("a count that ends while its shard is being flushed takes nothing from what a crash of the flush leaves", async () => {
  const model = new ErasureModel(randomFrom(1));
  await model.begin();
  const [ann] = USERS as [UserId];
  for (let n = 0; n < CELLS_LAG_MAX + 8; n++) await model.say(USERS[n % 2]!, GROUP);
  model.holdFlush();
  await nextTurn();
  expect(model.host.log(GROUP).isFlushing).toBe(true);
  model.host.storedCounts.begin(model.host.home(ann), model.host.users.get(ann)!);
  await model.host.storedCounts.idle();
  await model.host.store.idle();
  expect(model.host.users.get(ann)!.storedBytes).toBeGreaterThan(0);
  await model.crash();
  expect(model.host.groups.get(GROUP)!.members.size).toBe(USERS.length);
  await model.expectAll();
  await model.close();
});

test("a long history is counted in short steps", async () => {
  await written.write(ANN, CLUB, hellos(3000));
  let steps = 1;
  for (const count = countPosts(ANN, CLUB); count.next().done !== true;) steps++;
  expect(steps).toBeGreaterThan(3000 / 250);
});
