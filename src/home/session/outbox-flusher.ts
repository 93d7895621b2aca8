/**
 * Flushes the outboxes at the end of the current turn of the event loop. One per node.
 *
 * A write to the kernel takes some microseconds: a message to thousands of connected members would stop the loop for
 * tens of milliseconds. So a turn flushes as many as it has time for, in the order in which they got their first frame,
 * and the next turn continues. Frames that arrive for a waiting outbox leave with it.
 *
 * Outboxes that hold nothing but posts to large groups *gather*: they are flushed in rounds. A round begins at once
 * after a pause, and otherwise as long after the round before as that one took, at most `GATHER_MS_MAX`. So a quiet
 * group does not wait, and a busy one gets several posts into one write.
 */
import type { Clock } from "../../base/clock.ts";

export type Flushed = { flush(): void };

const TURN_MS = 3;
/** Outboxes between two looks at the clock. */
const LOOK_EVERY = 64;
const GATHER_MS_MAX = 5;

export class OutboxFlusher {
  readonly #clock: Clock;
  readonly #waiting: Flushed[] = [];
  /** Index of the next outbox; those before it have been flushed. */
  #from = 0;
  #gathering: Flushed[] = [];
  /** Where the round under way ends in `#waiting`; 0: none is under way. */
  #roundEnd = 0;
  #roundBeganMs = 0;
  /** Before it, no round begins. Monotonic. */
  #nextRoundMs = Number.NEGATIVE_INFINITY;

  readonly #onError: (error: unknown) => void;

  constructor(clock: Clock, onError: (error: unknown) => void) {
    this.#clock = clock;
    this.#onError = onError;
  }

  add(outbox: Flushed): void {
    if (this.#waiting.push(outbox) === 1) queueMicrotask(this.#flush);
  }

  /** As `add`, for an outbox whose frames may wait for a round. It may be added both ways. */
  addGathering(outbox: Flushed): void {
    if (this.#gathering.push(outbox) === 1 && this.#roundEnd === 0) this.#roundSoon();
  }

  #roundSoon(): void {
    const waitMs = this.#nextRoundMs - this.#clock.monotonicMs();
    if (waitMs > 0) this.#clock.after(waitMs, this.#beginRound);
    else queueMicrotask(this.#beginRound);
  }

  readonly #beginRound = (): void => {
    const gathering = this.#gathering;
    this.#gathering = [];
    this.#roundBeganMs = this.#clock.monotonicMs();
    for (const outbox of gathering) this.add(outbox);
    this.#roundEnd = this.#waiting.length;
  };

  #endRound(): void {
    this.#roundEnd = 0;
    const now = this.#clock.monotonicMs();
    this.#nextRoundMs = now + Math.min(now - this.#roundBeganMs, GATHER_MS_MAX);
    if (this.#gathering.length > 0) this.#roundSoon();
  }

  readonly #flush = (): void => {
    const waiting = this.#waiting;
    let endAt: number | undefined;
    while (this.#from < waiting.length) {
      if (this.#from % LOOK_EVERY === LOOK_EVERY - 1) {
        const now = this.#clock.monotonicMs();
        endAt ??= now + TURN_MS;
        if (now >= endAt) return void setImmediate(this.#flush);
      }
      this.#flushOne(waiting[this.#from++]!);
      if (this.#from === this.#roundEnd) this.#endRound();
    }
    waiting.length = 0;
    this.#from = 0;
  };

  /** An error of one socket must not keep the others from being flushed. */
  #flushOne(outbox: Flushed): void {
    try {
      outbox.flush();
    } catch (error) {
      this.#report(error);
    }
  }

  #report(error: unknown): void {
    try {
      this.#onError(error);
    } catch {
      // The error cannot be reported; the other outboxes still have to be flushed.
    }
  }
}
