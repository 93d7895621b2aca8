/**
 * A catch-up that waits for its client to read. Pings keep a connection that reads nothing open, and the page that waits in it would be held for
 * ever; one that reads slowly goes on.
 */
import type { Clock } from "../../base/clock.ts";

/** A catch-up whose client reads nothing for so long ends. */
export const CATCH_UP_STALLED_MS = 30_000;

export class StallWatch {
  readonly #clock: Clock;
  readonly #queuedBytes: () => number;
  readonly #onStalled: () => void;
  #cancel: (() => void) | undefined;

  /** @param onStalled told once, when nothing has been read for `CATCH_UP_STALLED_MS` */
  constructor(clock: Clock, queuedBytes: () => number, onStalled: () => void) {
    this.#clock = clock;
    this.#queuedBytes = queuedBytes;
    this.#onStalled = onStalled;
  }

  /** The catch-up waits. Said again while it does, it changes nothing. */
  begin(): void {
    if (this.#cancel !== undefined) return;
    const before = this.#queuedBytes();
    this.#cancel = this.#clock.after(CATCH_UP_STALLED_MS, () => {
      this.#cancel = undefined;
      if (this.#queuedBytes() < before) this.begin();
      else this.#onStalled();
    });
  }

  /** It goes on, or has ended. */
  end(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
