/** What every `CommitLog` must do: a suite that each implementation runs. `RUNS` and `SEED` are for the random histories. */
import { describe, expect, test } from "bun:test";
import { FencedError, LogFailedError } from "../../../storage/errors.ts";
import type { LogReach, Needed } from "../../../storage/log/commit-log.ts";
import type { LogPosition, Offset, ShardId, Term } from "../../../storage/types.ts";
import { until } from "../../support/wait.ts";
import { Reading, type ShardUser, Told } from "./log-user.ts";
import { type LogWorld, openLog, type OpenLog, reopened, SHARDS } from "./log-world.ts";
import { liveAtRandom } from "./random-life.ts";

const [ONE, OTHER, FAR] = SHARDS as [ShardId, ShardId, ShardId];

async function close({ log, told, users }: OpenLog): Promise<void> {
  await log.stop();
  log.end();
  expect(told.errors).toEqual([]);
  expect([...users.values()].flatMap(({ faults }) => faults)).toEqual([]);
}

export function commitLogConforms(name: string, world: () => LogWorld): void {
  describe(name, () => {
    appending(world);
    failing(world);
    keeping(world);
    fencing(world);
    test("random histories: what was committed is read again, what was fenced is not, and nothing is out of order", async () => {
      const seed = Number(process.env["SEED"] ?? 1);
      for (let n = 0; n < Number(process.env["RUNS"] ?? 40); n++) await liveAtRandom(world(), seed + n);
    });
  });
}

function appending(world: () => LogWorld): void {
  test("what it contains: nothing, then a beginning, then records", async () => {
    const here = world();
    const contents = (): Promise<string> => here.make(new Told()).contents();
    expect(await contents()).toBe("nothing");
    await close(await openLog(here));
    expect(await contents()).toBe("begun");
    const open = await openLog(here);
    open.users.get(ONE)!.push(open.log, "a");
    await close(open);
    expect(await contents()).toBe("records");
  });

  test("records are committed after their write, in the order of their shard, and are there after a power cut", async () => {
    const here = world();
    const { log, users, told } = await openLog(here);
    here.hold();
    for (const n of [1, 2, 3]) for (const user of users.values()) user.push(log, `${n}`);
    await here.held();
    for (const user of users.values()) expect(user.committed).toEqual([]);
    here.release();
    await log.idle();
    for (const user of users.values()) {
      expect(user.texts).toEqual(["1", "2", "3"]);
      expect(user.pending).toEqual([]);
    }
    expect(told.errors).toEqual([]);
    expect(told.commits).toBeGreaterThan(0);
    here.crash();
    const { read } = await openLog(here);
    for (const shard of SHARDS) expect(read.texts(shard)).toEqual(["1", "2", "3"]);
  });

  test("a record that is cancelled leaves nothing, and the next one takes its place", async () => {
    const open = await openLog(world());
    const { log, users } = open;
    const start = log.appender.open(ONE);
    log.appender.out.reserve(4);
    log.appender.out.u32(7);
    expect(() => log.appender.open(ONE)).toThrow("inside of another");
    log.appender.cancel();
    log.appender.out.pos = 0;
    expect(log.appender.open(ONE)).toBe(start);
    log.appender.cancel();
    users.get(ONE)!.push(log, "a");
    await log.idle();
    expect(users.get(ONE)!.texts).toEqual(["a"]);
    await close(open);
  });

  test("records are taken back, of several shards, newest first, and their offsets are free again", async () => {
    const here = world();
    const open = await openLog(here);
    const { log, users } = open;
    const [one, far] = [users.get(ONE)!, users.get(FAR)!];
    one.push(log, "a");
    const { savepoint } = log.appender;
    one.push(log, "b");
    far.push(log, "x");
    one.push(log, "c");
    log.appender.rollBack(savepoint);
    log.appender.rollBack(log.appender.savepoint);
    expect([one.withdrawn, far.withdrawn]).toEqual([["c", "b"], ["x"]]);
    far.push(log, "y");
    one.push(log, "d");
    await close(open);
    const { read } = await openLog(here);
    expect([read.texts(ONE), read.texts(FAR)]).toEqual([["a", "d"], ["y"]]);
  });

  test("records are not taken back while one is being encoded", async () => {
    const open = await openLog(world());
    const { log, users } = open;
    const { savepoint } = log.appender;
    users.get(ONE)!.push(log, "a");
    log.appender.open(ONE);
    expect(() => log.appender.rollBack(savepoint)).toThrow("taken back");
    log.appender.cancel();
    await close(open);
    expect(users.get(ONE)!.texts).toEqual(["a"]);
  });

  test("what is pushed just before a write, or by an owner that is notified, is written too", async () => {
    const here = world();
    const open = await openLog(here);
    const { log, users, told } = open;
    const one = users.get(ONE)!;
    let asked = 0;
    told.onWrite = () => {
      if (++asked === 1) one.push(log, "before the write", { notify: () => one.push(log, "when notified") });
    };
    log.schedule();
    await until("both are committed", () => one.committed.length === 2);
    await close(open);
    expect(one.texts).toEqual(["before the write", "when notified"]);
    expect((await openLog(here)).read.texts(ONE)).toEqual(one.texts);
  });

  test("pressure rises with what waits, for each shard that waits, and is gone when it is written", async () => {
    const open = await openLog(world());
    const { log, users } = open;
    const one = users.get(ONE)!;
    expect(log.pressure(ONE)).toBe(0);
    for (let n = 0; log.pressure(ONE) <= 1; n++) {
      expect(log.shortage(ONE)).toBeUndefined();
      one.push(log, `${n} `.padEnd(256 << 10, "x"));
      if (n > 1000) throw new Error("nothing holds the writer back");
    }
    expect([log.shortage(ONE), log.failure(ONE)]).toEqual(["log behind", undefined]);
    await log.idle();
    expect([log.pressure(ONE), log.shortage(ONE)]).toEqual([0, undefined]);
    expect(one.pending).toEqual([]);
    await close(open);
  });

  test("an owner that throws when notified keeps no other from being notified", async () => {
    const { log, users, told } = await openLog(world());
    const mistake = new Error("a listener's own mistake");
    told.onWrite = () => {
      throw mistake;
    };
    users.get(ONE)!.push(log, "a", {
      notify() {
        throw mistake;
      },
    });
    for (const user of users.values()) user.push(log, "b");
    await log.idle();
    expect(users.get(ONE)!.texts).toEqual(["a", "b"]);
    expect(users.get(FAR)!.texts).toEqual(["b"]);
    expect(new Set(told.errors)).toEqual(new Set([mistake]));
    expect(SHARDS.map((shard) => log.failure(shard))).toEqual([undefined, undefined, undefined]);
  });
}

function failing(world: () => LogWorld): void {
  test.each(["nothing", "written"] as const)(
    "a write that fails, having done %s: whoever waits is told, its shard takes nothing more and says why, and it goes on when it is opened again",
    async (does) => {
      const here = world();
      const open = await openLog(here);
      const { log, users, told } = open;
      const one = users.get(ONE)!;
      one.push(log, "a");
      await log.idle();
      expect([log.pressure(ONE), log.shortage(ONE), log.shortageCause(ONE)]).toEqual([0, undefined, undefined]);
      here.failNext(ONE, does);
      for (const text of ["b", "c"]) one.push(log, text);
      await log.idle();
      expect(one.failed.map(({ text }) => text)).toEqual(["b", "c"]);
      for (const { error } of one.failed) expect(error).toBeInstanceOf(LogFailedError);
      expect(log.failure(ONE)).toBe(one.failed[0]!.error);
      expect(log.pressure(ONE)).toBe(Number.POSITIVE_INFINITY);
      expect(log.shortage(ONE)).toBeDefined();
      expect(log.shortageCause(ONE)).toBeDefined();
      one.push(log, "d");
      await log.idle();
      expect(one.failed.at(-1)!.text).toBe("d");
      // Told for each shard that has failed, once, and for no other.
      const failed = told.failures.flatMap(({ shards }) => shards);
      expect(failed).toContain(ONE);
      expect(new Set(failed).size).toBe(failed.length);
      for (const shard of SHARDS) expect(failed.includes(shard)).toBe(log.failure(shard) !== undefined);

      const again = await reopened(here, open, ONE);
      const texts = again.read.texts(ONE);
      expect(texts).toEqual(["a", "b", "c", "d"].slice(0, texts.length));
      expect(again.log.failure(ONE)).toBeUndefined();
      expect(again.log.pressure(ONE)).toBeLessThan(1);
      again.users.get(ONE)!.push(again.log, "e");
      await close(again);
      expect((await openLog(here)).read.texts(ONE)).toEqual([...texts, "e"]);
    },
  );

  test("shards that did not fail go on, and what waits for them is committed", async () => {
    const here = world();
    const { log, users, told } = await openLog(here);
    here.failNext(ONE, "nothing");
    for (const user of users.values()) user.push(log, "a");
    await log.idle();
    for (const shard of SHARDS) {
      const user = users.get(shard)!;
      const isFailed = told.failedShards().has(shard);
      expect([user.texts.length, user.failed.length]).toEqual(isFailed ? [0, 1] : [1, 0]);
    }
  });

  test("a record that cannot take effect fails its shard, and with it what was pushed behind it", async () => {
    const here = world();
    const open = await openLog(here);
    const { log, users } = open;
    const one = users.get(ONE)!;
    const committed = (): never => {
      throw new Error("memory is not what the log says");
    };
    one.push(log, "a");
    one.push(log, "b", { apply: committed });
    one.push(log, "c");
    await log.idle();
    expect(one.texts).toEqual(["a"]);
    expect(one.failed.map(({ text }) => text)).toEqual(["b", "c"]);
    expect(log.failure(ONE)).toBeInstanceOf(LogFailedError);
    const again = await reopened(here, open, ONE);
    const texts = again.read.texts(ONE);
    expect(texts).toEqual(["a", "b", "c"].slice(0, Math.max(1, texts.length)));
  });

  test("a log that is refused is read only, for all shards", async () => {
    const { log } = await openLog(world());
    const cause = Object.assign(new Error("no room"), { code: "ENOSPC" });
    log.refuse(cause);
    for (const shard of [undefined, ...SHARDS]) {
      expect(log.failure(shard)).toBeInstanceOf(LogFailedError);
      expect(log.pressure(shard)).toBe(Number.POSITIVE_INFINITY);
    }
  });
}

function keeping(world: () => LogWorld): void {
  const marksOf = (users: Iterable<ShardUser>): Map<ShardId, LogReach> => {
    const marks = new Map<ShardId, LogReach>();
    for (const { shard, committed } of users) {
      const last = committed.at(-1);
      if (last === undefined) continue;
      const { offset, position, term } = last;
      marks.set(shard, { offset: offset as Offset, position: position as LogPosition, term: term as Term });
    }
    return marks;
  };

  const push = async ({ log, users }: OpenLog, text: string, ...shards: ShardId[]): Promise<void> => {
    for (const shard of shards) users.get(shard)!.push(log, text);
    await log.idle();
  };

  test("it fills up until it is trimmed, and what somebody needs stays", async () => {
    const here = world();
    const open = await openLog(here);
    const { log, users } = open;
    await push(open, "old", ...SHARDS);
    const marks = marksOf(users.values());
    const from = users.get(ONE)!.committed[0]!.position as LogPosition;
    for (let n = 0; log.fullness < 1; n++) await push(open, `${n} ${"long ".repeat(20)}`, ...SHARDS);
    const needed: Needed = { shard: ONE, from };
    expect(log.heldBack(needed)).toBeGreaterThan(
      log.heldBack({ shard: ONE, from: users.get(ONE)!.committed.at(-1)!.position as LogPosition }),
    );
    log.trim([needed]);
    const now = marksOf(users.values());
    // All but the first shard are flushed through what they have.
    now.delete(ONE);
    await close(open);
    const again = await openLog(here, now);
    expect(again.read.texts(ONE)).toEqual(users.get(ONE)!.texts);
    for (const shard of [OTHER, FAR]) expect(again.read.texts(shard)).toEqual([]);
    expect(marks.size).toBe(SHARDS.length);
    await close(again);
  });

  test("recovery reads what is behind the mark of a shard, with its term", async () => {
    const here = world();
    const open = await openLog(here);
    await push(open, "flushed", ...SHARDS);
    const marks = marksOf(open.users.values());
    await push(open, "behind", ONE, FAR);
    here.crash();
    const { read } = await openLog(here, marks);
    expect(SHARDS.map((shard) => read.texts(shard))).toEqual([["behind"], [], ["behind"]]);
    expect(read.terms.get(ONE)).toBeGreaterThanOrEqual(open.users.get(ONE)!.term);
  });

  test("nothing is read of what nobody needs, once it is cut and gone; what came later is", async () => {
    const here = world();
    const open = await openLog(here);
    const { log, users } = open;
    await push(open, "erased", ...SHARDS);
    const oldest = users.get(ONE)!.committed[0]!.position as LogPosition;
    const cut = await log.cut();
    await push(open, "later", ...SHARDS);
    expect(cut.holds({ shard: ONE, from: oldest })).toBe(true);
    const later: Needed[] = SHARDS.map((shard) => {
      return { shard, from: users.get(shard)!.committed.at(-1)!.position as LogPosition };
    });
    for (const need of later) expect(cut.holds(need)).toBe(false);
    log.trim([...later, { shard: ONE, from: oldest }]);
    expect(cut.isGone()).toBe(false);
    log.trim(later);
    expect(cut.isGone()).toBe(true);
    here.crash();
    const { read } = await openLog(here);
    for (const shard of SHARDS) expect(read.texts(shard)).toEqual(["later"]);
  });

  test("what it keeps for a shard that is closed begins with its oldest record", async () => {
    const { log, users } = await openLog(world());
    users.get(ONE)!.push(log, "a");
    await log.idle();
    const position = users.get(ONE)!.committed[0]!.position as LogPosition;
    const { first, last } = log.rangeOf(ONE, position, false);
    expect(first).toBe(position);
    expect(last).toBeGreaterThanOrEqual(position);
    expect(log.rangeOf(OTHER, undefined, false)).toEqual({ first: 0 as LogPosition, last: 0 as LogPosition });
    expect(log.rangeOf(OTHER, undefined, true).first).toBeGreaterThan(0);
  });
}

function fencing(world: () => LogWorld): void {
  if (world().take === undefined) {
    test("a shard is never taken by another node: none can be opened again alone", async () => {
      const { log } = await openLog(world());
      await expect(log.reopenShard(ONE, new Reading())).rejects.toThrow("has not failed alone");
    });
    return;
  }

  test("an append of a shard that another node has taken is refused, and uses no offset", async () => {
    const here = world();
    const open = await openLog(here);
    const { log, users, told } = open;
    const one = users.get(ONE)!;
    one.push(log, "a");
    await log.idle();
    here.take!(ONE);
    for (const text of ["b", "c"]) one.push(log, text);
    for (const shard of [OTHER, FAR]) users.get(shard)!.push(log, "x");
    await log.idle();
    expect(one.withdrawn).toEqual(["c", "b"]);
    expect(one.failed.map(({ text }) => text)).toEqual(["b", "c"]);
    for (const { error } of one.failed) expect(error).toBeInstanceOf(FencedError);
    expect(one.next).toBe(2);
    expect(() => one.push(log, "d")).toThrow(FencedError);
    expect(log.failure(ONE)).toBeInstanceOf(FencedError);
    expect(told.failures.map(({ shards }) => shards)).toEqual([[ONE]]);
    // The others do not notice.
    for (const shard of [OTHER, FAR]) {
      users.get(shard)!.push(log, "y");
      await log.idle();
      expect(users.get(shard)!.texts).toEqual(["x", "y"]);
      expect(log.failure(shard)).toBeUndefined();
    }
    expect(log.failure()).toBeUndefined();
    const again = await reopened(here, open, ONE);
    expect(again.read.texts(ONE)).toEqual(["a"]);
    const after = again.users.get(ONE)!;
    expect(after.term).toBeGreaterThan(one.term);
    after.push(log, "e");
    await close(again);
    here.crash();
    const { read } = await openLog(here);
    expect(read.found.get(ONE)!.map(({ offset, text }) => [offset, text])).toEqual([
      [1, "a"],
      [2, "e"],
    ]);
  });

  test("what was fenced is in nobody's log, also when its bytes arrive after the shard was taken again", async () => {
    const here = world();
    const open = await openLog(here);
    const one = open.users.get(ONE)!;
    here.hold();
    one.push(open.log, "late");
    await here.held();
    here.take!(ONE);
    here.release();
    await open.log.idle();
    expect(one.failed.map(({ error }) => error.constructor)).toEqual([FencedError]);
    here.crash();
    expect((await openLog(here)).read.texts(ONE)).toEqual([]);
  });
}
