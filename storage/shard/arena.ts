/**
 * Room for the records of one memtable, copied in once and never moved: slabs that grow with what is there, so that a
 * shard with little takes little.
 *
 * A *pointer* is a number that finds something again. The pointer of a record is `slab number × SLAB_BYTES_MAX +
 * position in the slab`. The pointer of an operation is that of its record when it is the first in it, as nearly all
 * are; else it is negative and names two numbers kept beside the slabs.
 *
 * The slabs are shared memory, so that a flush hands them to its worker as they are, while they are read here. When the memtable is flushed
 * they are used again (slab-pool.ts).
 *
 * Invariants: a record lies in one slab; one that is larger than a slab has one to itself; bytes that were written
 * never change until the slabs are given back.
 */
import { RECORD_HEADER_BYTES, recordEnd } from "../encoding/record.ts";
import { SLAB_BYTES_MAX, type SlabPool } from "./slab-pool.ts";

/** Told of a record, `bytes[start, end)`, and its pointer. */
export type RecordVisitor = (pointer: number, bytes: Buffer, start: number, end: number) => void;

export class RecordArena {
  readonly #pool: SlabPool;
  readonly #slabs: Buffer[] = [];
  /** How much of each slab but the last is used. */
  readonly #filled: number[] = [];
  #last: Buffer | undefined;
  #lastPointer = 0;
  #used = 0;
  /** Pairs: the pointer of a record, the position of an operation in it. */
  readonly #inner: number[] = [];
  /** Bytes of all records. */
  bytes = 0;
  /** Bytes of all slabs. */
  roomBytes = 0;

  constructor(pool: SlabPool) {
    this.#pool = pool;
  }

  /** Copies the record `from[start, end)`. @returns its pointer */
  add(from: Buffer, start: number, end: number): number {
    let slab = this.#last;
    if (slab === undefined || this.#used + end - start > slab.length) slab = this.#begin(end - start);
    const at = this.#used;
    from.copy(slab, at, start, end);
    this.#used = at + end - start;
    this.bytes += end - start;
    return this.#lastPointer + at;
  }

  /** Pointer of the operation that begins `position` bytes behind its record's begin. */
  operation(record: number, position: number): number {
    return position === RECORD_HEADER_BYTES ? record : -this.#inner.push(record, position);
  }

  /** The record that has the operation. */
  recordOf(pointer: number): number {
    return pointer >= 0 ? pointer : this.#inner[-pointer - 2]!;
  }

  /** The bytes that have what is at the pointer, and at which position. */
  slabOf(pointer: number): Buffer {
    return this.#slabs[Math.floor(this.recordOf(pointer) / SLAB_BYTES_MAX)]!;
  }

  positionOf(record: number): number {
    return record % SLAB_BYTES_MAX;
  }

  /** Where in `slabOf` the operation begins. */
  operationAt(pointer: number): number {
    if (pointer >= 0) return (pointer % SLAB_BYTES_MAX) + RECORD_HEADER_BYTES;
    return (this.#inner[-pointer - 2]! % SLAB_BYTES_MAX) + this.#inner[-pointer - 1]!;
  }

  /** In the order in which they came. */
  forEach(visit: RecordVisitor): void {
    this.#slabs.forEach((bytes, index) => {
      const used = this.#filled[index] ?? this.#used;
      for (let start = 0; start < used;) {
        const end = recordEnd(bytes, start);
        visit(index * SLAB_BYTES_MAX + start, bytes, start, end);
        start = end;
      }
    });
  }

  /** All records in the order in which they came: the used part of each slab, not copied. */
  image(): Uint8Array[] {
    return this.#slabs.map((slab, index) => new Uint8Array(slab.buffer, 0, this.#filled[index] ?? this.#used));
  }

  /** Nothing of it is read any more, by nobody. */
  giveBack(): void {
    this.#pool.giveBack(this.#slabs);
  }

  /** As much again as there is: few slabs, and never more than half of them empty. */
  #begin(recordBytes: number): Buffer {
    if (this.#last !== undefined) this.#filled.push(this.#used);
    const slab = this.#pool.take(this.bytes, recordBytes);
    this.roomBytes += slab.length;
    this.#last = slab;
    this.#lastPointer = (this.#slabs.push(slab) - 1) * SLAB_BYTES_MAX;
    this.#used = 0;
    return slab;
  }
}
