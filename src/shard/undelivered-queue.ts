/**
 * Messages that reached a user's timeline and that no device has said `received` for yet, as far as memory holds them.
 * When it does not hold all (`isComplete` false) the marks are worked out from the log instead.
 */
import type { Seq } from "../../storage/types.ts";
import type { ConversationState } from "./conversation-state.ts";

export type Undelivered = { seq: Seq; conversation: ConversationState; fromSeq: Seq };

const HELD_MAX = 512;

export class UndeliveredQueue {
  #held: Undelivered[] = [];
  #from = 0;
  /** Whether every undelivered message is held. */
  isComplete: boolean;

  constructor(isComplete: boolean) {
    this.isComplete = isComplete;
  }

  push(undelivered: Undelivered): void {
    if (!this.isComplete) return;
    if (this.#held.length - this.#from >= HELD_MAX) return this.#overflow();
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

  #overflow(): void {
    this.#held = [];
    this.#from = 0;
    this.isComplete = false;
  }
}
