/** What a flush job brings, sorted out: items by stream, and the cells as they stand at its end. Pure; reads nothing. */
import { decodeOperations, readRecordHead } from "../record.ts";
import type { Offset } from "../types.ts";
import type { Item } from "./block.ts";
import type { FlushJob } from "./types.ts";

export type StreamBatch = { streamNo: number; name: string; items: Item[] };
/** Last value of each cell, null for cleared, by stream name and key. */
export type CellChanges = Map<string, Map<string, Uint8Array | null>>;
export type FlushImage = { batches: StreamBatch[]; cells: CellChanges };

/**
 * Batches by rising stream number, items in log order.
 * @throws RangeError when the job is not what its type promises: offsets out of order or range, a stream that is not listed.
 */
export function readFlushImage(job: FlushJob, flushedThrough: Offset): FlushImage {
  const batches = new Map<string, StreamBatch>();
  const cells: CellChanges = new Map();
  for (const { name, streamNo } of job.streams) batches.set(name, { name, streamNo, items: [] });
  readRecords(job, flushedThrough, batches, cells);
  readCheckpoint(job, cells);
  const filled = [...batches.values()].filter((batch) => batch.items.length > 0);
  return { batches: filled.sort((a, b) => a.streamNo - b.streamNo), cells };
}

function readRecords(job: FlushJob, after: Offset, batches: Map<string, StreamBatch>, cells: CellChanges): void {
  const bytes = asBuffer(job.image);
  let last = after;
  const batchOf = (stream: string): StreamBatch => {
    const batch = batches.get(stream);
    if (batch === undefined)
      throw new RangeError(`shard ${job.shard}: the image has stream ${stream}, the job lists it not`);
    return batch;
  };
  for (let at = 0; at < bytes.length;) {
    const { shard, offset, opsAt, end } = readRecordHead(bytes, at);
    if (shard !== job.shard) throw new RangeError(`a record of shard ${shard} in a flush of shard ${job.shard}`);
    if (offset <= last) throw new RangeError(`shard ${shard}: record ${offset} after ${last} in a flush`);
    last = offset;
    decodeOperations(bytes, opsAt, end, {
      entry(stream, lane, key, seq, start, length) {
        batchOf(stream).items.push({ alone: false, keyRun: false, seq, offset, lane, key, bytes, start, length });
      },
      key(stream, key, seq, start, length) {
        batchOf(stream).items.push({ alone: true, keyRun: false, seq, offset, lane: "", key, bytes, start, length });
      },
      cell: (stream, key, start, length) => setCell(cells, stream, key, cellValue(bytes, start, length)),
    });
    at = end;
  }
  if (last > job.throughOffset)
    throw new RangeError(`shard ${job.shard}: record ${last} in a flush through ${job.throughOffset}`);
}

function readCheckpoint(job: FlushJob, cells: CellChanges): void {
  const bytes = asBuffer(job.checkpoint);
  const refuse = (): never => {
    throw new RangeError(`shard ${job.shard}: a checkpoint holds cells only`);
  };
  decodeOperations(bytes, 0, bytes.length, {
    entry: refuse,
    key: refuse,
    cell: (stream, key, start, length) => setCell(cells, stream, key, cellValue(bytes, start, length)),
  });
}

function setCell(cells: CellChanges, stream: string, key: string, value: Uint8Array | null): void {
  let ofStream = cells.get(stream);
  if (ofStream === undefined) cells.set(stream, (ofStream = new Map()));
  ofStream.set(key, value);
}

function cellValue(bytes: Buffer, start: number, length: number): Uint8Array | null {
  return start < 0 ? null : bytes.subarray(start, start + length);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
