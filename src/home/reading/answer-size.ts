/**
 * What an answer costs while it is assembled: its bytes as JSON, since pages end by bytes as well as by count, and the
 * entries that were looked at for it (src/home/reading/read-budget.ts).
 */
import { ANSWER_BYTES_MAX } from "../../domain/limits.ts";
import type { ServerFrame, WireMessage } from "../../protocol/frames.ts";
import type { Cost } from "../messages/reads.ts";

/** Names, numbers and brackets of one message: about this much at most. */
const REST_BYTES = 400;
/** A UTF-16 unit of a text as JSON, at most: `\u0001`. */
const UNIT_BYTES_MAX = 6;
/** So many bytes of an answer cost about as much as looking at one entry. */
export const ENTRY_BYTES = 512;
/** Texts up to this length are estimated, not measured. */
const SHORT_UNITS = 256;

export class AnswerSize {
  /** Bytes so far. */
  bytes: number;
  /** Entries that were looked at, whether they are in the answer or not. */
  looked = 0;

  /** @param bytes of the answer that this is a part of */
  constructor(bytes = 0) {
    this.bytes = bytes;
  }

  /** Adds a part that was assembled elsewhere. */
  add({ bytes, looked }: Cost): void {
    this.bytes += bytes;
    this.looked += looked;
  }

  /** The cost in entries: a large text costs as much as several. */
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

  /** Counts the part. The first part always fits. @returns whether the part fits */
  has(part: WireMessage | ServerFrame): boolean {
    const bytes = "text" in part && part.text !== undefined ? REST_BYTES + textBytes(part.text) : restBytes(part);
    const isFirst = this.bytes === 0;
    this.bytes += bytes;
    return isFirst || this.bytes <= ANSWER_BYTES_MAX;
  }
}

const textBytes = (text: string): number =>
  text.length <= SHORT_UNITS ? text.length * UNIT_BYTES_MAX : Buffer.byteLength(JSON.stringify(text));

/** The first entry of a large group names all its members. */
const restBytes = (part: WireMessage | ServerFrame): number =>
  "members" in part ? JSON.stringify(part).length : REST_BYTES;
