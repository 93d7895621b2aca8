/**
 * Flushes the outboxes at the end of the current turn of the event loop. One per node.
 *
 * A write to the kernel takes some microseconds: a message to thousands of connected members would stop the loop for
 * tens of milliseconds. So a turn flushes as many as it has time for, in the order in which they got their first frame,
 * and the next turn continues. Frames that arrive for a waiting outbox leave with it.
 */
import type { Clock } from "../../base/clock.ts";

const TURN_MS = 3;
/** Outboxes between two looks at the clock. */
const LOOK_EVERY = 64;

export class OutboxFlusher {
  readonly #clock: Clock;
  readonly #waiting: { flush(): void }[] = [];
  /** Index of the next outbox; those before it have been flushed. */
  #from = 0;

  readonly #onError: (error: unknown) => void;

  constructor(clock: Clock, onError: (error: unknown) => void) {
    this.#clock = clock;
    this.#onError = onError;
  }

  add(outbox: { flush(): void }): void {
    if (this.#waiting.push(outbox) === 1) queueMicrotask(this.#flush);
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
    }
    waiting.length = 0;
    this.#from = 0;
  };

  /** An error of one socket must not keep the others from being flushed. */
  #flushOne(outbox: { flush(): void }): void {
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
