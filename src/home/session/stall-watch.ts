/**
 * Ends a catch-up whose client has stopped reading. Pings keep such a connection open, so its waiting page would be
 * held for ever. A client that reads slowly goes on.
 */
import type { Clock } from "../../base/clock.ts";

/** How long a client may read nothing during its catch-up. */
export const CATCH_UP_STALLED_MS = 30_000;

export class StallWatch {
  readonly #clock: Clock;
  readonly #queuedBytes: () => number;
  readonly #onStalled: () => void;
  #cancel: (() => void) | undefined;

  /** @param onStalled called once, when nothing has been read for `CATCH_UP_STALLED_MS` */
  constructor(clock: Clock, queuedBytes: () => number, onStalled: () => void) {
    this.#clock = clock;
    this.#queuedBytes = queuedBytes;
    this.#onStalled = onStalled;
  }

  /** The catch-up waits. Repeated calls change nothing. */
  begin(): void {
    if (this.#cancel !== undefined) return;
    const before = this.#queuedBytes();
    this.#cancel = this.#clock.after(CATCH_UP_STALLED_MS, () => {
      this.#cancel = undefined;
      if (this.#queuedBytes() < before) this.begin();
      else this.#onStalled();
    });
  }

  /** The catch-up goes on, or has ended. */
  end(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
