/**
 * What a shard's log holds above `flushedThrough`, in memory: entries, cells and keys by stream, and the records themselves for the flush.
 *
 * Not here: durability (only durable records are applied) and numbering. A record is copied once, while it is still warm, behind the records before it:
 * what a flush needs is then one run of bytes, and entries and cells are positions in it.
 *
 * Invariants: records are applied in offset order; entries of a stream arrive with rising seqs; bytes below `bytes` never change, though the
 * buffer that holds them is replaced when it grows; a frozen memtable never changes.
 */
import type { KeyHit, Offset, Seq, StoredEntry, StreamHead } from "./types.ts";

/** An entry in memory; its payload is at `start` of the memtable's records. */
export type MemEntry = {
  seq: Seq;
  offset: Offset;
  lane: string;
  key: string;
  start: number;
  length: number;
};

/** A cell in memory; `start` is -1 when it was cleared. */
export type MemCell = { start: number; length: number };

/** Entries up to `toSeq` that were tombstones from then on; `lane` is undefined for all lanes. */
export type MemErasure = { lane: string | undefined; fromSeq: Seq; toSeq: Seq };

/** Whether the entry is one of those. */
export function isErased(erasures: readonly MemErasure[], lane: string, seq: Seq): boolean {
  return erasures.some((range) => {
    return range.fromSeq <= seq && seq <= range.toSeq && (range.lane === undefined || range.lane === lane);
  });
}

/** The part of one stream that stands in one memtable. */
export class MemStream {
  readonly name: string;
  readonly streamNo: number;
  readonly table: Memtable;
  headSeq: Seq;
  readonly entries: MemEntry[] = [];
  readonly cells = new Map<string, MemCell>();
  /** What was erased while this memtable was the active one: holds for what is older than it, too. */
  readonly erasures: MemErasure[] = [];
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
    // Two entries of one seq would be one message lost: better no server than that.
    if (entry.seq !== this.headSeq + 1) {
      throw new Error(`assertion failed: entry ${entry.seq} of ${this.name} does not follow ${this.headSeq}`);
    }
    this.entries.push(entry);
    this.headSeq = entry.seq;
  }

  /** Notes an erasure of entries that are there by now. */
  erase(lane: string | undefined, fromSeq: Seq, toSeq: Seq): void {
    const range = { lane, fromSeq, toSeq: Math.min(toSeq, this.headSeq) as Seq };
    if (range.fromSeq > range.toSeq) return;
    this.erasures.push(range);
    this.forget(range);
  }

  /** Entries in the range say nothing any more. Their bytes stay among the records, which a flush decodes with the erasure. */
  forget(range: MemErasure): void {
    const { entries } = this;
    for (let i = this.indexAfter((range.fromSeq - 1) as Seq); i < entries.length; i++) {
      const entry = entries[i]!;
      if (entry.seq > range.toSeq) return;
      if (!isErased([range], entry.lane, entry.seq)) continue;
      if (this.#keys?.get(entry.key)?.seq === entry.seq) this.#keys.delete(entry.key);
      entry.key = "";
      entry.length = 0;
    }
  }

  setKey(key: string, hit: KeyHit): void {
    const keys = (this.#keys ??= new Map());
    if (!keys.has(key)) keys.set(key, hit);
  }

  stored(entry: MemEntry): StoredEntry {
    const { seq, offset, lane, key, start, length } = entry;
    return { seq, offset, lane, key, payload: this.table.view(start, length) };
  }

  /** Undefined for a cleared cell. */
  cellValue({ start, length }: MemCell): Uint8Array | undefined {
    return start < 0 ? undefined : this.table.view(start, length);
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
      // Of a key that occurs twice the first is found, as in the segments.
      if (entry.key !== "" && !keys.has(entry.key)) keys.set(entry.key, { seq: entry.seq, value: null });
    }
    return keys.get(key);
  }
}

const BYTES_MIN = 2048;

export class Memtable {
  readonly streams = new Map<string, MemStream>();
  firstOffset = 0 as Offset;
  lastOffset = 0 as Offset;
  /** Bytes of the records in it. */
  bytes = 0;
  /** Log file of the first record: nothing from there on may be trimmed before the flush. */
  firstFileNo = 0;
  #records = Buffer.allocUnsafeSlow(BYTES_MIN);

  /**
   * Takes a durable record, `from[start, end)`.
   * @returns what to add to a position in `from` to find it here
   */
  record(offset: Offset, from: Buffer, start: number, end: number, fileNo: number): number {
    if (this.firstOffset === 0) {
      this.firstOffset = offset;
      this.firstFileNo = fileNo;
    }
    const at = this.bytes;
    this.lastOffset = offset;
    this.bytes = at + end - start;
    if (this.bytes > this.#records.length) this.#grow();
    from.copy(this.#records, at, start, end);
    return at - start;
  }

  view(start: number, length: number): Uint8Array {
    return this.#records.subarray(start, start + length);
  }

  get isEmpty(): boolean {
    return this.firstOffset === 0;
  }

  /** All records in offset order, in a buffer of their own. */
  image(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#records.subarray(0, this.bytes));
  }

  #grow(): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#records.length * 2, this.bytes));
    this.#records.copy(larger);
    this.#records = larger;
  }
}
