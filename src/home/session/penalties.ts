/** Tokens whose sockets exceeded the limits by far. Their next `hello` is refused for a while, before any lookup. */
import type { Clock } from "../../base/clock.ts";

const PENALTY_MS = 10_000;
const TOKENS_MAX = 10_000;
/** Longer than any token of this server: such a token is refused without a lookup anyway. */
const TOKEN_CHARACTERS_MAX = 1024;

export class Penalties {
  readonly #clock: Clock;
  /** Monotonic end of each penalty, oldest first. */
  readonly #until = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#until.size;
  }

  add(token: string): void {
    if (token.length > TOKEN_CHARACTERS_MAX) return;
    const now = this.#clock.monotonicMs();
    this.#until.delete(token);
    this.#until.set(token, now + PENALTY_MS);
    this.#forget(now);
  }

  /** Drops penalties that are over, and the oldest if there are too many. */
  #forget(now: number): void {
    for (const [oldest, until] of this.#until) {
      if (until > now && this.#until.size <= TOKENS_MAX) return;
      this.#until.delete(oldest);
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
