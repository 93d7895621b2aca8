/**
 * Messages that reached a user's timeline and that no device has said `received` for yet, as far as memory holds them:
 * all above `heldAbove`. The marks of those below are worked out from the log (marks.ts), which costs reads: so
 * whatever came before a load, or was too much to hold, leaves what comes later alone.
 */
import type { Seq } from "../../../storage/types.ts";
import type { ConversationState } from "./conversation-state.ts";

export type Undelivered = { seq: Seq; conversation: ConversationState; fromSeq: Seq };

export const HELD_MAX = 512;

/** Seq of the newest message from anybody else. */
export function newestTaken(conversations: Iterable<ConversationState>): Seq {
  let newest = 0 as Seq;
  for (const { takenSeq } of conversations) if (takenSeq > newest) newest = takenSeq;
  return newest;
}

export class UndeliveredQueue {
  #held: Undelivered[] = [];
  #from = 0;
  #heldAbove: Seq;

  /** @param heldAbove no message from anybody else is above it */
  constructor(heldAbove: Seq) {
    this.#heldAbove = heldAbove;
  }

  /** Every undelivered message above this seq is held. */
  get heldAbove(): Seq {
    return this.#heldAbove;
  }

  /** The next message of the timeline. */
  push(undelivered: Undelivered): void {
    if (this.#held.length - this.#from >= HELD_MAX) return this.#overflow(undelivered.seq);
    this.#held.push(undelivered);
  }

  /** The next one at or below `seq`, removed; undefined when there is none. */
  shiftThrough(seq: Seq): Undelivered | undefined {
    const next = this.#held[this.#from];
    if (next === undefined || next.seq > seq) return undefined;
    this.#from++;
    if (this.#from === this.#held.length) {
      this.#held.length = 0;
      this.#from = 0;
    } else if (this.#from >= HELD_MAX) {
      this.#held.splice(0, this.#from);
      this.#from = 0;
    }
    return next;
  }

  /** Messages up to `seq` were taken from it, and have to be taken again. */
  forgetThrough(seq: Seq): void {
    if (seq > this.#heldAbove) this.#heldAbove = seq;
  }

  #overflow(seq: Seq): void {
    this.#held = [];
    this.#from = 0;
    this.#heldAbove = seq;
  }
}
