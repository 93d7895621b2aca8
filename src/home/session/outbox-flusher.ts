/**
 * Sends what gathered in many outboxes once the current turn of the event loop has done its work. One per node.
 *
 * A write to the kernel takes some microseconds: a message to a group of thousands who are there would stop the loop for tens of milliseconds. So a turn does
 * those that it has time for, in the order in which they got their first frame, and the next goes on. What comes for an outbox that still waits leaves with it.
 */
import type { Clock } from "../../base/clock.ts";

const TURN_MS = 3;
/** Outboxes between two looks at the clock. */
const LOOK_EVERY = 64;

export class OutboxFlusher {
  readonly #clock: Clock;
  readonly #waiting: { flush(): void }[] = [];
  /** Those before it have left. */
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

  /** One whose socket throws must not keep the others, and all that come later, from leaving. */
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
      // Nobody is left to be told; the others still have to leave.
    }
  }
}
