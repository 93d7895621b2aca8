/**
 * What an answer costs while it is put together: how large it becomes as JSON, since pages end by bytes, whatever the count of what is in them; and how many
 * entries were looked at for it (read-budget.ts).
 */
import { ANSWER_BYTES_MAX } from "../domain/limits.ts";
import type { ServerFrame, WireMessage } from "../protocol/frames.ts";

/** Names, numbers and brackets of one message, at most about. */
const REST_BYTES = 400;
/** A UTF-16 unit of a text as JSON, at most: `\u0001`. */
const UNIT_BYTES_MAX = 6;
/** Bytes of an answer that cost about as much as an entry that is looked at. */
export const ENTRY_BYTES = 512;
/** Up to here a text is not worth measuring. */
const SHORT_UNITS = 256;

export class AnswerSize {
  readonly #bytesMax: number;
  #bytes = 0;
  /** Entries that were looked at, whatever became of them. */
  looked = 0;

  constructor(bytesMax = ANSWER_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** In entries: a large text costs as much as several. */
  get work(): number {
    return this.looked + this.#bytes / ENTRY_BYTES;
  }

  get isFull(): boolean {
    return this.#bytes >= this.#bytesMax;
  }

  /** Counts it if there is room for it; the first always has. @returns whether it belongs to the answer */
  has(part: WireMessage | ServerFrame): boolean {
    const bytes = "text" in part && part.text !== undefined ? REST_BYTES + textBytes(part.text) : restBytes(part);
    const isFirst = this.#bytes === 0;
    this.#bytes += bytes;
    return isFirst || this.#bytes <= this.#bytesMax;
  }
}

const textBytes = (text: string): number =>
  text.length <= SHORT_UNITS ? text.length * UNIT_BYTES_MAX : Buffer.byteLength(JSON.stringify(text));

/** The entry that began a large group names all its members. */
const restBytes = (part: WireMessage | ServerFrame): number =>
  "members" in part ? JSON.stringify(part).length : REST_BYTES;
