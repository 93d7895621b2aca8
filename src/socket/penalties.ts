/** Tokens whose sockets said far more than they may: their next `hello` is refused for a while, before anything is looked up for it. */
import type { Clock } from "../base/clock.ts";

const PENALTY_MS = 10_000;
const TOKENS_MAX = 10_000;

export class Penalties {
  readonly #clock: Clock;
  /** Monotonic end of each penalty, oldest first. */
  readonly #until = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(token: string): void {
    this.#until.delete(token);
    this.#until.set(token, this.#clock.monotonicMs() + PENALTY_MS);
    if (this.#until.size <= TOKENS_MAX) return;
    for (const oldest of this.#until.keys()) {
      this.#until.delete(oldest);
      return;
    }
  }

  /** Milliseconds that the token has to wait; 0 for nearly all. */
  waitMs(token: string): number {
    const until = this.#until.get(token);
    if (until === undefined) return 0;
    const left = Math.ceil(until - this.#clock.monotonicMs());
    if (left > 0) return left;
    this.#until.delete(token);
    return 0;
  }
}
