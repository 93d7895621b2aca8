/**
 * Room for the records of one memtable, copied in once and never moved: chunks that grow with what is there, so that a shard with little takes little.
 *
 * A *pointer* is a number that finds something again. The pointer of a record is `chunk number × CHUNK_BYTES_MAX + position in the chunk`. The pointer of an operation is that
 * of its record when it is the first in it, as nearly all are; else it is negative and names two numbers kept beside the chunks.
 *
 * Invariants: a record lies in one chunk; one that is larger than a chunk has one to itself; bytes that were written never change.
 */
import { RECORD_HEADER_BYTES, recordEnd } from "../encoding/record.ts";

const CHUNK_BYTES_MIN = 2 << 10;
const CHUNK_BYTES_MAX = 256 << 10;

/** Told of a record, `bytes[start, end)`, and its pointer. */
export type RecordVisitor = (pointer: number, bytes: Buffer, start: number, end: number) => void;

export class RecordArena {
  readonly #chunks: Buffer[] = [];
  /** How much of each chunk but the last is used. */
  readonly #filled: number[] = [];
  #last: Buffer | undefined;
  #lastPointer = 0;
  #used = 0;
  /** Pairs: the pointer of a record, the position of an operation in it. */
  readonly #inner: number[] = [];
  /** Bytes of all records. */
  bytes = 0;
  /** Bytes of all chunks. */
  roomBytes = 0;

  /** Copies the record `from[start, end)`. @returns its pointer */
  add(from: Buffer, start: number, end: number): number {
    let chunk = this.#last;
    if (chunk === undefined || this.#used + end - start > chunk.length) chunk = this.#begin(end - start);
    const at = this.#used;
    from.copy(chunk, at, start, end);
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
  chunkOf(pointer: number): Buffer {
    return this.#chunks[Math.floor(this.recordOf(pointer) / CHUNK_BYTES_MAX)]!;
  }

  positionOf(record: number): number {
    return record % CHUNK_BYTES_MAX;
  }

  /** Where in `chunkOf` the operation begins. */
  operationAt(pointer: number): number {
    if (pointer >= 0) return (pointer % CHUNK_BYTES_MAX) + RECORD_HEADER_BYTES;
    return (this.#inner[-pointer - 2]! % CHUNK_BYTES_MAX) + this.#inner[-pointer - 1]!;
  }

  /** In the order in which they came. */
  forEach(visit: RecordVisitor): void {
    this.#chunks.forEach((bytes, index) => {
      const used = this.#filled[index] ?? this.#used;
      for (let start = 0; start < used;) {
        const end = recordEnd(bytes, start);
        visit(index * CHUNK_BYTES_MAX + start, bytes, start, end);
        start = end;
      }
    });
  }

  /** All records in the order in which they came, in a buffer of their own. */
  image(): Uint8Array<ArrayBuffer> {
    const image = new Uint8Array(this.bytes);
    let at = 0;
    this.#chunks.forEach((chunk, index) => {
      const used = this.#filled[index] ?? this.#used;
      image.set(chunk.subarray(0, used), at);
      at += used;
    });
    return image;
  }

  /** As much again as there is: few chunks, and never more than half of them empty. */
  #begin(recordBytes: number): Buffer {
    if (this.#last !== undefined) this.#filled.push(this.#used);
    const bytes = Math.min(Math.max(this.bytes, CHUNK_BYTES_MIN), CHUNK_BYTES_MAX);
    const chunk = Buffer.allocUnsafeSlow(Math.max(bytes, recordBytes));
    this.roomBytes += chunk.length;
    this.#last = chunk;
    this.#lastPointer = (this.#chunks.push(chunk) - 1) * CHUNK_BYTES_MAX;
    this.#used = 0;
    return chunk;
  }
}
