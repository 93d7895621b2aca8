/** A store whose log is not the local one: shards that fail, and come back, alone; recovery behind what was flushed; terms. */
import { describe, expect, test } from "bun:test";
import { FencedError, LogFailedError, type LogFailure } from "../../../storage/errors.ts";
import { LogStore } from "../../../storage/log-store.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import type { LogStoreHooks } from "../../../storage/store-options.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { randomFrom } from "../../support/random.ts";
import { entry, QUIET } from "../log-fixture.ts";
import { LogHistory } from "../log-history.ts";
import { MemorySegments } from "../files/memory-segments.ts";
import { SimulatedDisk } from "../vfs/simulated-disk.ts";
import { SHARDS } from "./log-world.ts";
import { LaneWorld } from "./lane-world.ts";

const [ONE, OTHER, FAR] = SHARDS as [ShardId, ShardId, ShardId];

class Node {
  readonly world = new LaneWorld(1);
  readonly segments = new MemorySegments();
  readonly failures: { error: LogFailure; shards: readonly ShardId[] }[] = [];

  open(hooks: Partial<LogStoreHooks> = {}): Promise<LogStore> {
    const { world, segments } = this;
    const { files } = new SimulatedDisk();
    files.makeDirectory("/data");
    return LogStore.open(
      { directory: "/data", files, segments, makeLog: world.make, damage: "refuse", memtableBytesMax: 1 << 20 },
      { ...QUIET, onFailure: (error, shards) => void this.failures.push({ error, shards }), ...hooks },
    );
  }
}

/** One stream of a shard. */
class Writer {
  readonly log: ShardLog;
  readonly handle: StreamHandle;
  readonly acked: number[] = [];
  readonly refused: LogFailure[] = [];

  constructor(log: ShardLog) {
    this.log = log;
    this.handle = new StreamHandle("@alice", log.head("@alice"));
  }

  append(): void {
    const { log, handle } = this;
    const seq = (handle.appendedSeq + 1) as Seq;
    log.append({
      encode() {
        log.beginEntry(handle, "", "", seq, 64);
        log.writer.utf8(`entry ${seq}`);
        log.endEntry();
      },
      committed: () => void this.acked.push(seq),
      failed: (error) => void this.refused.push(error),
    });
  }

  entries(): [offset: number, seq: number][] {
    return this.log.readForward("@alice", 0 as Seq, 1000).map(({ offset, seq }) => [offset, seq]);
  }
}

describe("a shard that another node has taken", () => {
  test("refuses what is appended, without using an offset or a seq, and the other shards go on", async () => {
    const node = new Node();
    const store = await node.open();
    const [one, other, far] = SHARDS.map((shard) => new Writer(store.shard(shard))) as [Writer, Writer, Writer];
    one.append();
    await store.idle();
    node.world.take(ONE);
    for (const writer of [one, one, other, far]) writer.append();
    await store.idle();
    expect(one.acked).toEqual([1]);
    expect(one.refused.map((error) => error instanceof FencedError)).toEqual([true, true]);
    expect(one.log.durableThrough as number).toBe(1);
    expect(one.log.isAppending).toBe(false);
    expect(one.handle.appendedSeq as number).toBe(1);
    expect(() => one.append()).toThrow(FencedError);
    expect(one.entries()).toEqual([[1, 1]]);
    // Told for that shard alone, and seen there alone.
    expect(node.failures.map(({ shards }) => shards)).toEqual([[ONE]]);
    expect(one.log.failure).toBeInstanceOf(FencedError);
    expect([one.log.pressure, one.log.shortage]).toEqual([Number.POSITIVE_INFINITY, "log failed"]);
    expect([other.log.failure, far.log.failure, store.failed, store.shortage]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    expect(store.pressure).toBeLessThan(1);
    other.append();
    far.append();
    await store.idle();
    expect([other.acked, far.acked]).toEqual([
      [1, 2],
      [1, 2],
    ]);
    await store.close();
  });

  test("is taken back in a higher term; its next record has the offset that was refused", async () => {
    const node = new Node();
    const store = await node.open();
    const before = new Writer(store.shard(ONE));
    before.append();
    await store.idle();
    node.world.take(ONE);
    before.append();
    await store.idle();
    const after = new Writer(await store.reopenShard(ONE));
    expect(store.shard(ONE)).toBe(after.log);
    expect(after.log.term).toBeGreaterThan(before.log.term);
    expect(after.entries()).toEqual([[1, 1]]);
    expect(() => before.append()).toThrow(FencedError);
    after.append();
    await store.idle();
    expect(after.entries()).toEqual([
      [1, 1],
      [2, 2],
    ]);
    await store.flushAll(() => false);
    expect(node.segments.reach(ONE)).toMatchObject({ flushedThrough: 2, term: after.log.term });
    await store.close();
    const again = new Writer((await node.open()).shard(ONE));
    expect(again.entries()).toEqual([
      [1, 1],
      [2, 2],
    ]);
  });

  test("is flushed like any other, so that it keeps no log; while it is taken back nothing of it is trimmed", async () => {
    const node = new Node();
    const store = await node.open();
    const [one, , far] = SHARDS.map((shard) => new Writer(store.shard(shard))) as [Writer, Writer, Writer];
    one.append();
    await store.idle();
    node.world.take(ONE);
    one.append();
    await store.idle();
    await store.flushAll(() => false);
    expect(node.segments.reach(ONE)).toMatchObject({ flushedThrough: 1, term: one.log.term });
    expect(one.entries()).toEqual([[1, 1]]);

    const again = new Writer(await store.reopenShard(ONE));
    again.append();
    far.append();
    await store.idle();
    node.world.take(ONE);
    again.append();
    await store.idle();
    node.world.hold();
    const reopening = store.reopenShard(ONE);
    await node.world.held();
    await store.flushAll(() => false);
    expect(node.segments.flushed.map(({ shard }) => shard)).toEqual([ONE, FAR]);
    node.world.release();
    const entries = [
      [1, 1],
      [2, 2],
    ];
    expect(new Writer(await reopening).entries()).toEqual(entries as [number, number][]);
    await store.close();
  });

  test("is opened again only when its flush has ended, and a flush that failed then is not repeated beside the new one", async () => {
    const node = new Node();
    const failures: unknown[] = [];
    const store = await node.open({ onFlushFailure: (error) => void failures.push(error) });
    const before = new Writer(store.shard(ONE));
    before.append();
    await store.idle();
    node.world.take(ONE);
    before.append();
    await store.idle();
    const begun = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    node.segments.beforeFlush = () => {
      begun.resolve();
      return ended.promise;
    };
    const flushing = store.flushAll(() => false);
    await begun.promise;
    let isOpen = false;
    const reopening = store.reopenShard(ONE).then((log) => {
      isOpen = true;
      return log;
    });
    // Meanwhile other shards go on, for longer than it takes to open one.
    const far = new Writer(store.shard(FAR));
    for (let n = 0; n < 10; n++) {
      far.append();
      await store.idle();
    }
    expect(isOpen).toBe(false);
    ended.reject(new Error("no space"));
    node.segments.beforeFlush = async () => {};
    const after = new Writer(await reopening);
    await flushing;
    expect(failures).toEqual([]);
    expect(after.entries()).toEqual([[1, 1]]);
    after.append();
    await store.idle();
    await store.flushAll(() => false);
    expect(node.segments.flushed.map(({ shard, throughOffset }) => [shard, throughOffset as number])).toEqual([
      [FAR, 10],
      [ONE, 2],
    ]);
    expect(after.entries()).toEqual([
      [1, 1],
      [2, 2],
    ]);
    await store.close();
  });
});

test("a lane out of reach fails its shards, and they are opened again one by one, with all that was acknowledged", async () => {
  const node = new Node();
  const store = await node.open();
  const [one, other, far] = SHARDS.map((shard) => new Writer(store.shard(shard))) as [Writer, Writer, Writer];
  node.world.failNext(ONE, "written");
  for (const writer of [one, other, far]) writer.append();
  await store.idle();
  expect([one.refused.length, other.refused.length, far.acked.length]).toEqual([1, 1, 1]);
  expect(one.refused[0]).toBeInstanceOf(LogFailedError);
  expect(store.failed).toBeUndefined();
  for (const shard of [ONE, OTHER]) {
    expect(store.shard(shard).failure).toBeInstanceOf(LogFailedError);
    const again = new Writer(await store.reopenShard(shard));
    expect(again.log.failure).toBeUndefined();
    // Nobody knew, and now it is known: it had got there.
    expect(again.entries()).toEqual([[1, 1]]);
    again.append();
    await store.idle();
    expect(again.acked).toEqual([2]);
  }
  await store.close();
});

test("recovery begins behind the position that was kept with the last flush, and finds the term as of that record", async () => {
  const node = new Node();
  const first = await node.open();
  const writer = new Writer(first.shard(FAR));
  for (let n = 0; n < 5; n++) writer.append();
  await first.idle();
  await first.flushAll(() => false);
  const { flushedPosition, flushedThrough, term } = node.segments.reach(FAR);
  expect(flushedThrough as number).toBe(5);
  expect(flushedPosition as number).toBeGreaterThan(5);
  expect(term).toBe(writer.log.term);
  writer.append();
  await first.close();

  const second = await node.open();
  expect(second.recovery.records).toBe(1);
  const { log } = new Writer(second.shard(FAR));
  expect(log.term).toBeGreaterThan(term);
  // The record that is flushed now is of the term before: the term of this node begins behind it.
  await second.flushAll(() => false);
  expect(node.segments.reach(FAR)).toMatchObject({ flushedThrough: 6, term });
  await second.close();
  const third = await node.open();
  expect(third.shard(FAR).term).toBeGreaterThan(log.term);
  await third.close();
});

test("random batches, flushes and starts: every read agrees with the model", async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const random = randomFrom(seed);
    const node = new Node();
    const history = new LogHistory();
    let store = await node.open();
    for (let n = 0; n < 40; n++) {
      // One record a batch: those of several lanes are not there together or not at all.
      const shard = SHARDS[Math.floor(random() * SHARDS.length)]!;
      history.append(store, [entry(`message ${n}`, shard, random() < 0.5 ? "@alice" : "@bob")]);
      if (random() < 0.4) await store.idle();
      if (random() < 0.2) await store.flushAll(() => random() < 0.5);
      if (random() < 0.15) {
        await store.close();
        store = await node.open();
        history.reopened(store);
      }
    }
    await store.idle();
    expect(history.failed).toEqual([]);
    history.expectIn(store);
    await store.close();
  }
});
