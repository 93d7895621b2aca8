/** Memory of memtables is used again once they are flushed, and nobody who has read them notices. */
import { expect, test } from "bun:test";
import { SLAB_BYTES_MAX, SLAB_BYTES_MIN, SlabPool } from "../../../storage/shard/slab-pool.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import type { LogStore } from "../../../storage/log-store.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { openStore } from "../log-fixture.ts";
import { SimulatedDisk } from "../vfs/simulated-disk.ts";

const SHARD = 7 as ShardId;

test("a slab that was given back is taken again, one larger than others is not", () => {
  const pool = new SlabPool();
  const [small, large] = [pool.take(0, 10), pool.take(0, SLAB_BYTES_MAX + 1)];
  expect([small.length, large.length]).toEqual([SLAB_BYTES_MIN, SLAB_BYTES_MAX + 1]);
  pool.giveBack([small, large]);
  expect(pool.take(0, 10)).toBe(small);
  expect(pool.take(0, 10)).not.toBe(small);
  expect(pool.take(0, SLAB_BYTES_MAX + 1)).not.toBe(large);
});

test("a slab has room for its first record, and about as much as is asked for", () => {
  const pool = new SlabPool();
  for (const [bytes, bytesMin] of [
    [0, 1],
    [5000, 100],
    [100, 5000],
    [1 << 30, 100],
    [0, SLAB_BYTES_MAX],
  ] as const) {
    const { length } = pool.take(bytes, bytesMin);
    expect(length).toBeGreaterThanOrEqual(bytesMin);
    expect(length).toBeLessThanOrEqual(Math.max(SLAB_BYTES_MIN, Math.min(bytes, SLAB_BYTES_MAX), 2 * bytesMin));
  }
});

test("unused memory is bounded", () => {
  const pool = new SlabPool();
  const slabs = Array.from({ length: 100 }, () => pool.take(SLAB_BYTES_MAX, 1));
  pool.giveBack(slabs);
  const again = Array.from({ length: 100 }, () => pool.take(SLAB_BYTES_MAX, 1));
  expect(again.filter((slab) => slabs.includes(slab))).toHaveLength((8 << 20) / SLAB_BYTES_MAX);
});

/** A record with an entry, a cell and a key of this text. */
async function append(store: LogStore, text: string): Promise<void> {
  const log = store.shard(SHARD);
  const handle = new StreamHandle("@alice", log.head("@alice"));
  const bytes = Buffer.from(text);
  log.append({
    encode() {
      log.beginEntry(handle, "@bob", `ref-${text}`, (handle.headSeq + 1) as Seq, bytes.length);
      log.writer.raw(bytes);
      log.endEntry();
      log.putCell(handle, "cell", bytes);
      log.putKey(handle, `key-${text}`, 1 as Seq, bytes);
    },
    committed() {},
    failed: (error) => expect(error).toBeUndefined(),
  });
  await store.idle();
}

test("what was read stays as it was when its memory is used again", async () => {
  const store = await openStore(new SimulatedDisk());
  const log = store.shard(SHARD);
  await append(store, "first");
  const [read] = log.readForward("@alice", 0 as Seq, 10);
  const [ofLane] = log.readLaneBackward("@alice", "@bob", 100 as Seq, 10);
  const cell = log.cell("@alice", "cell")!;
  const key = log.findKey("@alice", "key-first")!.value!;
  const memory = log.memtable.image()[0]!.buffer;
  await store.flushAll(() => false);
  await append(store, "other");
  expect(log.memtable.image()[0]!.buffer).toBe(memory);
  for (const bytes of [read!.payload, ofLane!.payload, cell, key]) expect(Buffer.from(bytes).toString()).toBe("first");
  await store.close();
});

test("a snapshot is read later: its memory is not used again", async () => {
  const store = await openStore(new SimulatedDisk());
  const log = store.shard(SHARD);
  await append(store, "first");
  const snapshot = log.snapshot("@alice")!;
  await store.flushAll(() => false);
  await append(store, "other");
  const cells = [...snapshot.cells()].map(([name, value]) => [name, Buffer.from(value).toString()]);
  expect(cells).toEqual([["cell", "first"]]);
  expect(Buffer.from(snapshot.cell("cell")!).toString()).toBe("first");
  await store.close();
});
