/**
 * What an answer costs while it is put together: how large it becomes as JSON, since pages end by bytes, whatever the count of what is in them; and how many
 * entries were looked at for it (src/home/reading/read-budget.ts).
 */
import { ANSWER_BYTES_MAX } from "../../domain/limits.ts";
import type { ServerFrame, WireMessage } from "../../protocol/frames.ts";
import type { Cost } from "../messages/reads.ts";

/** Names, numbers and brackets of one message, at most about. */
const REST_BYTES = 400;
/** A UTF-16 unit of a text as JSON, at most: `\u0001`. */
const UNIT_BYTES_MAX = 6;
/** Bytes of an answer that cost about as much as an entry that is looked at. */
export const ENTRY_BYTES = 512;
/** Up to here a text is not worth measuring. */
const SHORT_UNITS = 256;

export class AnswerSize {
  /** So far. */
  bytes: number;
  /** Entries that were looked at, whatever became of them. */
  looked = 0;

  /** @param bytes of the answer that this is a part of */
  constructor(bytes = 0) {
    this.bytes = bytes;
  }

  /** A part was put together elsewhere. */
  add({ bytes, looked }: Cost): void {
    this.bytes += bytes;
    this.looked += looked;
  }

  /** In entries: a large text costs as much as several. */
  get work(): number {
    return this.looked + this.bytes / ENTRY_BYTES;
  }

  /** Bytes that are left. */
  get room(): number {
    return Math.max(0, ANSWER_BYTES_MAX - this.bytes);
  }

  get isFull(): boolean {
    return this.bytes >= ANSWER_BYTES_MAX;
  }

  /** Counts it if there is room for it; the first always has. @returns whether it belongs to the answer */
  has(part: WireMessage | ServerFrame): boolean {
    const bytes = "text" in part && part.text !== undefined ? REST_BYTES + textBytes(part.text) : restBytes(part);
    const isFirst = this.bytes === 0;
    this.bytes += bytes;
    return isFirst || this.bytes <= ANSWER_BYTES_MAX;
  }
}

const textBytes = (text: string): number =>
  text.length <= SHORT_UNITS ? text.length * UNIT_BYTES_MAX : Buffer.byteLength(JSON.stringify(text));

/** The entry that began a large group names all its members. */
const restBytes = (part: WireMessage | ServerFrame): number =>
  "members" in part ? JSON.stringify(part).length : REST_BYTES;
