/** The term of a shard is what its records say, whatever was flushed. */
import { expect, test } from "bun:test";
import { CorruptionError } from "../../../../storage/errors.ts";
import { checkLog } from "../../../../storage/log/local/check-log.ts";
import { chainAfter, fileHeader, FRAME_HEADER_BYTES, sealFrame } from "../../../../storage/log/local/frame.ts";
import { ByteWriter } from "../../../../storage/encoding/byte-writer.ts";
import { beginRecord, endRecord, writeCell } from "../../../../storage/encoding/record.ts";
import type { Offset, ShardId, Term } from "../../../../storage/types.ts";
import { entry, openStore, WAL_DIRECTORY } from "../../log-fixture.ts";
import { LogHistory } from "../../log-history.ts";
import { MemorySegments } from "../../files/memory-segments.ts";
import { SimulatedDisk } from "../../vfs/simulated-disk.ts";

const SHARD = 7 as ShardId;
const FILE = `${WAL_DIRECTORY}/0000000001.wal`;

/** A log of one frame, whose records, offsets from 1, have these terms. */
function diskWith(...terms: number[]): SimulatedDisk {
  const out = new ByteWriter(Buffer.alloc(4096), FRAME_HEADER_BYTES);
  for (const [n, term] of terms.entries()) {
    const at = beginRecord(out, SHARD, term as Term, (n + 1) as Offset);
    writeCell(out, "@alice", "key", Buffer.from(`${n}`));
    endRecord(out, at);
  }
  const header = fileHeader(1, 0);
  sealFrame(out.bytes, out.pos, 1, chainAfter(header, 0));
  const disk = new SimulatedDisk();
  disk.files.makeDirectory(WAL_DIRECTORY);
  const file = disk.files.openDurable(FILE, true);
  disk.files.writeNow(file, Buffer.concat([header, out.bytes.subarray(0, out.pos)]), 0);
  disk.files.close(file);
  disk.files.syncDirectory(WAL_DIRECTORY);
  return disk;
}

test("a shard goes on in the highest term of its records, and what is flushed has the term of its last record", async () => {
  const disk = diskWith(1, 3, 3);
  const segments = new MemorySegments();
  const store = await openStore(disk, { segments });
  const log = store.shard(SHARD);
  expect([log.durableThrough as number, log.term as number]).toEqual([3, 3]);
  new LogHistory().append(store, [entry("later")]);
  await store.idle();
  expect(checkLog(WAL_DIRECTORY, disk.files).shards.get(SHARD)).toMatchObject({ lastOffset: 4, term: 3 });
  await store.flushAll(() => false);
  expect(segments.reach(SHARD)).toMatchObject({ flushedThrough: 4, term: 3 });
  await store.close();
  const again = await openStore(disk, { segments });
  expect(again.shard(SHARD).term as number).toBe(3);
  await again.close();
});

test("a term that falls is damage, with file and place, of that shard alone", async () => {
  await expect(openStore(diskWith(2, 1))).rejects.toThrow(CorruptionError);
  await expect(openStore(diskWith(2, 1))).rejects.toThrow(`${FILE}: shard 7 falls from term 2 to 1 at byte`);
  const store = await openStore(diskWith(2, 1), { damage: "close" });
  expect(store.damaged.map(({ shard }) => shard)).toEqual([SHARD]);
  expect(store.shard(8 as ShardId).term as number).toBe(1);
  await store.close();
});
