/**
 * What a shard's log holds above `flushedThrough`, in memory: entries, cells and keys by stream, and the records themselves for the flush.
 *
 * Not here: durability (only durable records are applied) and numbering. Payloads are not copied: an entry points into the buffer its record was
 * written from, and that buffer lives until the last memtable that points into it is flushed.
 *
 * Invariants: records are applied in offset order; entries of a stream arrive with rising seqs; a frozen memtable never changes.
 */
import type { KeyHit, Offset, Seq, StoredEntry, StreamHead } from "./types.ts";

/** An entry in memory; `bytes` is set when its record is durable. */
export type MemEntry = {
  seq: Seq;
  offset: Offset;
  lane: string;
  key: string;
  bytes: Buffer | undefined;
  start: number;
  length: number;
};

/** A cell in memory; `start` is -1 when it was cleared. */
export type MemCell = { bytes: Buffer | undefined; start: number; length: number };

/** Where a record stands. */
export type MemRecord = { bytes: Buffer | undefined; start: number; end: number };

/** Undefined for a cleared cell. */
export const cellValue = ({ bytes, start, length }: MemCell): Uint8Array | undefined =>
  start < 0 ? undefined : bytes!.subarray(start, start + length);

export const storedEntry = (entry: MemEntry): StoredEntry => ({
  seq: entry.seq,
  offset: entry.offset,
  lane: entry.lane,
  key: entry.key,
  payload: entry.bytes!.subarray(entry.start, entry.start + entry.length),
});

/** The part of one stream that stands in one memtable. */
export class MemStream {
  readonly name: string;
  readonly streamNo: number;
  readonly table: Memtable;
  headSeq: Seq;
  readonly entries: MemEntry[] = [];
  readonly cells = new Map<string, MemCell>();
  /** Keys set without an entry, and, once somebody looked a key up, those of all entries. */
  #keys: Map<string, KeyHit> | undefined;
  #keysThrough = 0;

  constructor(table: Memtable, name: string, head: StreamHead) {
    this.table = table;
    this.name = name;
    this.streamNo = head.streamNo;
    this.headSeq = head.headSeq;
  }

  append(entry: MemEntry): void {
    this.entries.push(entry);
    this.headSeq = entry.seq;
  }

  setKey(key: string, hit: KeyHit): void {
    (this.#keys ??= new Map()).set(key, hit);
  }

  /** Index of the first entry with a seq above `after`. */
  indexAfter(after: Seq): number {
    const { entries } = this;
    let low = 0;
    let high = entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (entries[middle]!.seq > after) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  findKey(key: string): KeyHit | undefined {
    const keys = (this.#keys ??= new Map());
    for (; this.#keysThrough < this.entries.length; this.#keysThrough++) {
      const entry = this.entries[this.#keysThrough]!;
      if (entry.key !== "") keys.set(entry.key, { seq: entry.seq, value: null });
    }
    return keys.get(key);
  }
}

export class Memtable {
  readonly streams = new Map<string, MemStream>();
  firstOffset = 0 as Offset;
  lastOffset = 0 as Offset;
  /** Bytes of the records in it. */
  bytes = 0;
  /** Log file of the first record: nothing from there on may be trimmed before the flush. */
  firstFileNo = 0;
  #records: MemRecord[] = [];

  /** Notes a durable record. */
  record(offset: Offset, record: MemRecord, fileNo: number): void {
    if (this.firstOffset === 0) {
      this.firstOffset = offset;
      this.firstFileNo = fileNo;
    }
    this.lastOffset = offset;
    this.bytes += record.end - record.start;
    this.#records.push(record);
  }

  get isEmpty(): boolean {
    return this.firstOffset === 0;
  }

  /** All records in offset order, in a buffer of their own. */
  image(): Uint8Array<ArrayBuffer> {
    const image = new Uint8Array(this.bytes);
    let at = 0;
    // `copy` needs no view of each record, which would cost more than the bytes.
    for (const { bytes, start, end } of this.#records) at += bytes!.copy(image, at, start, end);
    return image;
  }
}
