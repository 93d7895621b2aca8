/**
 * One operation of a record, read in place: strings are made only when they are asked for, since most readers need few.
 * The bytes are drawn in record.ts.
 */
import { isLatin1, isStr8, str8At, u32At, u48At } from "./byte-reader.ts";
import { DIGITS_MAX } from "./counted-key.ts";
import type { Seq } from "../types.ts";

export const OP_ENTRY = 1;
export const OP_CELL = 2;
export const OP_KEY = 3;
export const OP_ERASE = 4;
export const CLEARED = 0xffffffff;

const NOTHING = Buffer.alloc(0);
const ZERO = 48;

/** Whether the entry whose operation begins at `at` is of that lane. */
export function isInLane(bytes: Buffer, at: number, lane: string): boolean {
  return isStr8(bytes, at + 2 + bytes[at + 1]!, lane);
}

/** Read again and again: `read` forgets what was there before. Positions point into `bytes`. */
export class Operation {
  bytes: Buffer = NOTHING;
  kind = 0;
  /** Where the length of each text is; `laneAt` and `keyAt` for those kinds that have them. */
  streamAt = 0;
  laneAt = 0;
  keyAt = 0;
  /** Of an entry or a key. */
  seq = 0 as Seq;
  /** Of an erasure. */
  fromSeq = 0 as Seq;
  toSeq = 0 as Seq;
  /** Payload or value; -1 for a cleared cell. */
  start = 0;
  length = 0;

  /**
   * Reads the operation at `at`. @returns where it ends
   * @throws RangeError where the bytes are no operation; a checksum has been checked before, so that is a bug or a
   * newer format.
   */
  read(bytes: Buffer, at: number): number {
    this.bytes = bytes;
    this.streamAt = at + 1;
    const kind = bytes[at]!;
    this.kind = kind;
    const next = at + 2 + bytes[at + 1]!;
    if (kind === OP_ENTRY) {
      this.laneAt = next;
      const keyAt = next + 1 + bytes[next]!;
      this.keyAt = keyAt;
      return this.#readNumbered(bytes, keyAt + 1 + bytes[keyAt]!);
    }
    this.keyAt = next;
    if (kind === OP_KEY) return this.#readNumbered(bytes, next + 1 + bytes[next]!);
    if (kind === OP_CELL) return this.#readValue(bytes, next + 1 + bytes[next]!);
    if (kind === OP_ERASE) return this.#readRange(bytes, next);
    throw new RangeError(`unknown operation ${kind} at byte ${at}`);
  }

  #readNumbered(bytes: Buffer, at: number): number {
    this.seq = u48At(bytes, at) as Seq;
    return this.#readValue(bytes, at + 6);
  }

  #readValue(bytes: Buffer, at: number): number {
    const length = u32At(bytes, at);
    if (length === CLEARED && this.kind === OP_CELL) {
      this.start = -1;
      this.length = 0;
      return at + 4;
    }
    this.start = at + 4;
    this.length = length;
    return at + 4 + length;
  }

  #readRange(bytes: Buffer, hasLaneAt: number): number {
    this.laneAt = bytes[hasLaneAt] === 1 ? hasLaneAt + 1 : -1;
    const seqsAt = hasLaneAt + 2 + bytes[hasLaneAt + 1]!;
    this.fromSeq = u48At(bytes, seqsAt) as Seq;
    this.toSeq = u48At(bytes, seqsAt + 6) as Seq;
    return seqsAt + 12;
  }

  stream(): string {
    return str8At(this.bytes, this.streamAt);
  }

  lane(): string {
    return str8At(this.bytes, this.laneAt);
  }

  /** Of an erasure: undefined for all lanes. */
  laneOrAll(): string | undefined {
    return this.laneAt < 0 ? undefined : this.lane();
  }

  key(): string {
    return str8At(this.bytes, this.keyAt);
  }

  get hasKey(): boolean {
    return this.bytes[this.keyAt] !== 0;
  }

  isKey(key: string): boolean {
    return isStr8(this.bytes, this.keyAt, key);
  }

  /** The counter of a key that is the prefix and a plain number (encoding/counted-key.ts); -1 for any other. */
  counterBehind(prefix: string): number {
    const { bytes, keyAt } = this;
    const digits = bytes[keyAt]! - prefix.length;
    if (digits < 1 || digits > DIGITS_MAX || !isLatin1(bytes, keyAt + 1, prefix)) return -1;
    const at = keyAt + 1 + prefix.length;
    if (digits > 1 && bytes[at] === ZERO) return -1;
    let counter = 0;
    for (let i = 0; i < digits; i++) {
      const digit = bytes[at + i]! - ZERO;
      if (digit < 0 || digit > 9) return -1;
      counter = counter * 10 + digit;
    }
    return counter;
  }

  /** A copy: the memory that it is read from is used again. It costs no more than a view. */
  value(): Uint8Array {
    const copy = new Uint8Array(this.length);
    this.bytes.copy(copy, 0, this.start, this.start + this.length);
    return copy;
  }

  /** Null for a cleared cell. */
  valueOrNull(): Uint8Array | null {
    return this.start < 0 ? null : this.value();
  }
}
