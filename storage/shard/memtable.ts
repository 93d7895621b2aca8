/**
 * What a shard's log holds above `flushedThrough`, in memory: the records as they were written, and where the entries,
 * cells and keys of each stream are in them.
 *
 * Not here: durability (only durable records are applied) and numbering. A record is copied once, while it is still
 * warm. Of an entry only its pointer is kept beside it: lane, key, seq, offset and payload are read from the record
 * when they are asked for. So memory is little more than the records, and applying one makes no object.
 *
 * Invariants: records are applied in offset order; the entries of a stream have dense seqs, so the position in the list
 * gives the seq; a frozen memtable never changes, but for entries that are forgotten.
 */
import { RecordArena, type RecordVisitor } from "./arena.ts";
import { MemCells } from "./mem-cells.ts";
import { highestCounter, type KeyPointers, MemKeys } from "./mem-keys.ts";
import type { SlabPool } from "./slab-pool.ts";
import { isInLane, Operation } from "../encoding/operation.ts";
import { recordOffset, recordTerm } from "../encoding/record.ts";
import type { KeyHit, LogPosition, Offset, Seq, StoredEntry, StreamHead, Term } from "../types.ts";

const NOTHING = new Uint8Array(0);
const NO_POINTERS: readonly number[] = [];
const NO_ERASURES: readonly MemErasure[] = [];

/** What a stream takes beside its records: measured on streams of one entry and three cells. */
export const STREAM_BYTES = 400;

/** Entries up to `toSeq` that were tombstones from then on; `lane` is undefined for all lanes. */
export type MemErasure = { lane: string | undefined; fromSeq: Seq; toSeq: Seq };

/** Whether the entry is one of those. */
export function isErased(erasures: readonly MemErasure[], lane: string, seq: Seq): boolean {
  return erasures.some((range) => {
    return range.fromSeq <= seq && seq <= range.toSeq && (range.lane === undefined || range.lane === lane);
  });
}

/** What one memtable has of one stream. */
export class MemStream {
  readonly name: string;
  readonly streamNo: number;
  readonly table: Memtable;
  headSeq: Seq;
  /** Head of the stream before this memtable. */
  readonly #headBefore: Seq;
  /** Pointers of the entries, in the order of their seqs. */
  readonly #entries: number[] = [];
  /** Pointers of the cells' last values. */
  #cells: MemCells | undefined;
  #erasures: MemErasure[] | undefined;
  /** Entries here that are tombstones by now. */
  #forgotten: Set<Seq> | undefined;
  /** Pointers of keys that were set without an entry. */
  #keysAlone: number[] | undefined;
  /** Made when a key is first looked up. */
  #keys: MemKeys | undefined;

  constructor(table: Memtable, name: string, head: StreamHead) {
    this.table = table;
    this.name = name;
    this.streamNo = head.streamNo;
    this.headSeq = head.headSeq;
    this.#headBefore = head.headSeq;
  }

  /** What was erased while this memtable was the active one: holds for what is older than it, too. */
  get erasures(): readonly MemErasure[] {
    return this.#erasures ?? NO_ERASURES;
  }

  append(seq: Seq, pointer: number): void {
    // Two entries of one seq would be one message lost: better no server than that.
    if (seq !== this.headSeq + 1) {
      throw new Error(`assertion failed: entry ${seq} of ${this.name} does not follow ${this.headSeq}`);
    }
    this.#entries.push(pointer);
    this.headSeq = seq;
  }

  get entryCount(): number {
    return this.#entries.length;
  }

  /** Undefined when no entry is here. */
  get firstSeq(): Seq | undefined {
    return this.#entries.length === 0 ? undefined : ((this.#headBefore + 1) as Seq);
  }

  /** Index of the first entry with a seq above `after`. */
  indexAfter(after: Seq): number {
    return Math.min(Math.max(after - this.#headBefore, 0), this.#entries.length);
  }

  entry(index: number): StoredEntry {
    const seq = this.#seqAt(index);
    const operation = this.table.operation(this.#entries[index]!);
    const lane = operation.lane();
    const offset = this.#offsetAt(index);
    if (this.#forgotten?.has(seq)) return { seq, offset, lane, key: "", payload: NOTHING };
    return { seq, offset, lane, key: operation.key(), payload: operation.value() };
  }

  isInLane(index: number, lane: string): boolean {
    return this.table.isInLane(this.#entries[index]!, lane);
  }

  /** Seq of the first entry that came with a record above `offset`. */
  seqSince(offset: Offset): Seq | undefined {
    let low = 0;
    let high = this.#entries.length;
    if (high === 0 || this.#offsetAt(high - 1) <= offset) return undefined;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#offsetAt(middle) > offset) high = middle;
      else low = middle + 1;
    }
    return this.#seqAt(low);
  }

  /** Notes an erasure of entries that are there by now. */
  erase(lane: string | undefined, fromSeq: Seq, toSeq: Seq): MemErasure | undefined {
    const range = { lane, fromSeq, toSeq: Math.min(toSeq, this.headSeq) as Seq };
    if (range.fromSeq > range.toSeq) return undefined;
    (this.#erasures ??= []).push(range);
    this.forget(range);
    return range;
  }

  /**
   * Entries in the range say nothing any more. Their bytes stay among the records, which a flush decodes with the
   * erasure.
   */
  forget(range: MemErasure): void {
    const to = this.indexAfter(range.toSeq);
    for (let index = this.indexAfter((range.fromSeq - 1) as Seq); index < to; index++) {
      const { seq, lane, key } = this.entry(index);
      if (!isErased([range], lane, seq)) continue;
      this.#keys?.forget(key, seq);
      (this.#forgotten ??= new Set()).add(seq);
    }
  }

  setCell(name: string, pointer: number): void {
    (this.#cells ??= new MemCells()).set(name, pointer);
  }

  /** Null for a cleared cell, undefined for one that is not here. */
  cell(name: string): Uint8Array | null | undefined {
    const pointer = this.#cells?.get(name);
    return pointer === undefined ? undefined : this.table.operation(pointer).valueOrNull();
  }

  /** Null for cleared ones. */
  *cells(): Iterable<[name: string, value: Uint8Array | null]> {
    for (const [name, pointer] of this.#cells?.entries() ?? [])
      yield [name, this.table.operation(pointer).valueOrNull()];
  }

  setKey(pointer: number): void {
    (this.#keysAlone ??= []).push(pointer);
  }

  findKey(key: string): KeyHit | undefined {
    return (this.#keys ??= new MemKeys(this.table)).find(key, this.#keyPointers());
  }

  /**
   * The highest counter of the keys that are `prefix` and a plain number; -1 when there is none. Keys of tombstones
   * count.
   */
  highestCounter(prefix: string): number {
    return highestCounter(this.table, prefix, this.#keyPointers());
  }

  #keyPointers(): KeyPointers {
    return { alone: this.#keysAlone ?? NO_POINTERS, entries: this.#entries, forgotten: this.#forgotten };
  }

  #seqAt(index: number): Seq {
    return (this.#headBefore + 1 + index) as Seq;
  }

  #offsetAt(index: number): Offset {
    return this.table.offsetOf(this.#entries[index]!);
  }
}

export class Memtable {
  readonly streams = new Map<string, MemStream>();
  firstOffset = 0 as Offset;
  lastOffset = 0 as Offset;
  /** Of the first record: nothing from there on may be trimmed before the flush. */
  firstPosition = 0 as LogPosition;
  lastPosition = 0 as LogPosition;
  #lastPointer = 0;
  readonly #records: RecordArena;
  /** Something may still be read of it after it was flushed. */
  #isKept = false;

  constructor(pool: SlabPool) {
    this.#records = new RecordArena(pool);
  }

  /** Bytes of the records in it. */
  get bytes(): number {
    return this.#records.bytes;
  }

  /** Estimated memory. A shard may have many streams with little each, which take more than their records. */
  get memoryBytes(): number {
    return this.#records.bytes + this.streams.size * STREAM_BYTES;
  }

  /** Memory that they take. */
  get roomBytes(): number {
    return this.#records.roomBytes;
  }

  get isEmpty(): boolean {
    return this.firstOffset === 0;
  }

  /** Takes a durable record, `from[start, end)`. @returns its pointer */
  record(offset: Offset, from: Buffer, start: number, end: number, position: LogPosition): number {
    if (this.firstOffset === 0) {
      this.firstOffset = offset;
      this.firstPosition = position;
    }
    this.lastOffset = offset;
    this.lastPosition = position;
    return (this.#lastPointer = this.#records.add(from, start, end));
  }

  /** Of the last record; it is not empty. The shard's own term may be higher by now. */
  get lastTerm(): Term {
    return recordTerm(this.#records.slabOf(this.#lastPointer), this.#records.positionOf(this.#lastPointer));
  }

  /** All records in offset order. */
  forEachRecord(visit: RecordVisitor): void {
    this.#records.forEach(visit);
  }

  /** Pointer of the operation `position` bytes behind the begin of a record that was taken. */
  pointer(record: number, position: number): number {
    return this.#records.operation(record, position);
  }

  /** Kind of the operation at the pointer. */
  kindOf(pointer: number): number {
    return this.#records.slabOf(pointer)[this.#records.operationAt(pointer)]!;
  }

  /**
   * Of the entry at the pointer. A page of a lane passes over all between its entries, so nothing else is read of
   * those.
   */
  isInLane(pointer: number, lane: string): boolean {
    return isInLane(this.#records.slabOf(pointer), this.#records.operationAt(pointer), lane);
  }

  /** Reads what is at the pointer into `operation`. */
  read(pointer: number, operation: Operation): void {
    operation.read(this.#records.slabOf(pointer), this.#records.operationAt(pointer));
  }

  operation(pointer: number): Operation {
    const operation = new Operation();
    this.read(pointer, operation);
    return operation;
  }

  /** Offset of the record that has the operation. */
  offsetOf(pointer: number): Offset {
    const records = this.#records;
    return recordOffset(records.slabOf(pointer), records.positionOf(records.recordOf(pointer)));
  }

  /** All records in offset order, in parts, shared and not copied. */
  image(): Uint8Array[] {
    return this.#records.image();
  }

  /** Its memory is not used again: it may be read later than in this turn of the event loop. */
  keep(): void {
    this.#isKept = true;
  }

  /** It is flushed, and read no more. */
  giveBack(): void {
    if (!this.#isKept) this.#records.giveBack();
  }
}
