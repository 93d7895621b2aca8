/**
 * What a flush job brings, sorted out: items by stream, the cells as they stand at its end, and what it erases. Pure;
 * reads nothing.
 */
import type { KnownNames } from "../../encoding/known-names.ts";
import { OP_CELL, OP_ENTRY, OP_KEY, Operation } from "../../encoding/operation.ts";
import { decodeOperations, RECORD_HEADER_BYTES, recordEnd, recordOffset, recordShard } from "../../encoding/record.ts";
import type { EraseRange, Offset } from "../../types.ts";
import type { LoggedItem } from "../layers/piece.ts";
import type { FlushJob } from "../segment-store.ts";
import { asBuffer } from "../../encoding/byte-reader.ts";

export type StreamBatch = { streamNo: number; name: string; items: LoggedItem[] };
/** Last value of each cell, null for cleared, by stream name and key. */
export type CellChanges = Map<string, Map<string, Uint8Array | null>>;
export type FlushImage = {
  /** By rising stream number; items in log order, those that were erased later as tombstones already. */
  batches: StreamBatch[];
  cells: CellChanges;
  /** What is erased of the entries flushed before. */
  erasures: EraseRange[];
};

/**
 * @throws RangeError when the job is not what its type promises: offsets out of order or range, a stream that is not
 * listed.
 */
export function readFlushImage(job: FlushJob, flushedThrough: Offset, names: KnownNames): FlushImage {
  const image = new ImageReader(job, names);
  image.readRecords(flushedThrough);
  image.readCheckpoint();
  const batches = [...image.batches.values()].sort((a, b) => a.streamNo - b.streamNo);
  return { batches, cells: image.cells, erasures: image.erasures };
}

class ImageReader {
  readonly batches = new Map<string, StreamBatch>();
  readonly cells: CellChanges = new Map();
  readonly erasures: EraseRange[] = [];
  readonly #job: FlushJob;
  readonly #names: KnownNames;
  readonly #operation = new Operation();

  constructor(job: FlushJob, names: KnownNames) {
    this.#job = job;
    this.#names = names;
    for (const { name, streamNo } of job.streams) this.batches.set(name, { name, streamNo, items: [] });
  }

  readRecords(flushedThrough: Offset): void {
    const { shard, throughOffset, image } = this.#job;
    let last = flushedThrough;
    for (const part of image) last = this.#readPart(asBuffer(part), last);
    if (last > throughOffset)
      throw new RangeError(`shard ${shard}: record ${last} in a flush through ${throughOffset}`);
  }

  /** @returns the offset of its last record */
  #readPart(bytes: Buffer, after: Offset): Offset {
    const { shard } = this.#job;
    let last = after;
    for (let at = 0; at < bytes.length;) {
      const recordOf = recordShard(bytes, at);
      const offset = recordOffset(bytes, at);
      if (recordOf !== shard) throw new RangeError(`a record of shard ${recordOf} in a flush of shard ${shard}`);
      if (offset <= last) throw new RangeError(`shard ${shard}: record ${offset} after ${last} in a flush`);
      last = offset;
      const end = recordEnd(bytes, at);
      this.#readOperations(bytes, at + RECORD_HEADER_BYTES, end, last);
      at = end;
    }
    return last;
  }

  readCheckpoint(): void {
    const bytes = asBuffer(this.#job.checkpoint);
    const refuse = (): never => {
      throw new RangeError(`shard ${this.#job.shard}: a checkpoint holds cells only`);
    };
    const cell = (stream: string, key: string, start: number, length: number): void =>
      this.#setCell(stream, key, bytes, start, length);
    decodeOperations(bytes, 0, bytes.length, { entry: refuse, key: refuse, erase: refuse, cell });
  }

  #readOperations(bytes: Buffer, from: number, to: number, offset: Offset): void {
    const operation = this.#operation;
    let at = from;
    while (at < to) {
      at = operation.read(bytes, at);
      this.#take(operation, this.#names.at(bytes, operation.streamAt), offset);
    }
    if (at !== to) throw new RangeError(`operations end at byte ${at}, the record at ${to}`);
  }

  #take(operation: Operation, stream: string, offset: Offset): void {
    const { kind, bytes, seq, start, length } = operation;
    if (kind === OP_ENTRY) {
      const lane = this.#names.at(bytes, operation.laneAt);
      const key = operation.hasKey ? operation.key() : "";
      this.#batch(stream).items.push({ alone: false, seq, offset, lane, key, bytes, start, length });
    } else if (kind === OP_CELL) this.#setCell(stream, this.#names.at(bytes, operation.keyAt), bytes, start, length);
    else if (kind === OP_KEY) {
      const key = operation.key();
      this.#batch(stream).items.push({ alone: true, seq, offset, lane: "", key, bytes, start, length });
    } else {
      const { fromSeq, toSeq } = operation;
      this.#erase({ stream, lane: operation.laneOrAll(), fromSeq, toSeq });
    }
  }

  /** What is in the image already must not even pass through a file. */
  #erase(range: EraseRange): void {
    this.erasures.push(range);
    for (const item of this.#batch(range.stream).items) {
      if (item.alone || item.seq < range.fromSeq || item.seq > range.toSeq) continue;
      if (range.lane !== undefined && item.lane !== range.lane) continue;
      item.key = "";
      item.length = 0;
    }
  }

  #batch(stream: string): StreamBatch {
    const batch = this.batches.get(stream);
    if (batch !== undefined) return batch;
    throw new RangeError(`shard ${this.#job.shard}: the image has stream ${stream}, the job lists it not`);
  }

  #setCell(stream: string, key: string, bytes: Buffer, start: number, length: number): void {
    let ofStream = this.cells.get(stream);
    if (ofStream === undefined) this.cells.set(this.#batch(stream).name, (ofStream = new Map()));
    ofStream.set(key, start < 0 ? null : bytes.subarray(start, start + length));
  }
}
