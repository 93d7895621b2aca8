/**
 * Messages of a user's timeline that no device has confirmed with `received` yet. Holds all such messages above
 * `heldAbove`. Marks of older ones are computed from the log (marks.ts), which costs reads. So messages from before a
 * load, or too many to hold, do not slow down later ones.
 */
import type { Seq } from "../../../storage/types.ts";
import type { ConversationState } from "./conversation-state.ts";

export type Undelivered = { seq: Seq; conversation: ConversationState; fromSeq: Seq };

export const HELD_MAX = 512;

/** Seq of the newest message from any other user. */
export function newestTaken(conversations: Iterable<ConversationState>): Seq {
  let newest = 0 as Seq;
  for (const { takenSeq } of conversations) if (takenSeq > newest) newest = takenSeq;
  return newest;
}

/** Shared by all queues to which nothing was added. */
const NONE: Undelivered[] = [];

export class UndeliveredQueue {
  #held = NONE;
  #from = 0;
  #heldAbove: Seq;

  /** @param heldAbove no message from another user is above it */
  constructor(heldAbove: Seq) {
    this.#heldAbove = heldAbove;
  }

  get size(): number {
    return this.#held.length - this.#from;
  }

  /** Every undelivered message above this seq is held. */
  get heldAbove(): Seq {
    return this.#heldAbove;
  }

  /** Adds the next message of the timeline. */
  push(undelivered: Undelivered): void {
    if (this.#held.length - this.#from >= HELD_MAX) return this.#overflow(undelivered.seq);
    if (this.#held === NONE) this.#held = [undelivered];
    else this.#held.push(undelivered);
  }

  /** Removes and returns the next message at or below `seq`; undefined if there is none. */
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

  /** Messages through `seq` were removed and not marked: their marks have to be computed from the log. */
  forgetThrough(seq: Seq): void {
    if (seq > this.#heldAbove) this.#heldAbove = seq;
  }

  #overflow(seq: Seq): void {
    this.#held = NONE;
    this.#from = 0;
    this.#heldAbove = seq;
  }
}
