/**
 * Exponential backoff with full jitter: the whole wait is random, so that clients that were disconnected together do
 * not reconnect together.
 */
export class Backoff {
  readonly #random: () => number;
  readonly #baseMs: number;
  readonly #capMs: number;
  #failures = 0;

  constructor(random: () => number, baseMs: number, capMs: number) {
    this.#random = random;
    this.#baseMs = baseMs;
    this.#capMs = capMs;
  }

  /** Counts one more failure and returns the wait in whole milliseconds: at least `atLeastMs`, plus the jitter. */
  nextMs(atLeastMs = 0): number {
    const ceiling = Math.min(this.#capMs, this.#baseMs * 2 ** Math.min(this.#failures, 30));
    this.#failures++;
    return Math.round(atLeastMs + this.#random() * ceiling);
  }

  reset(): void {
    this.#failures = 0;
  }
}
