/**
 * A rate with a burst: tokens come back over time, up to the burst. The caller passes the time, in monotonic
 * milliseconds.
 */

export type Rate = { perSecond: number; burst: number };

/** `short`: more was spent than was there. `far-beyond`: a whole burst more than was there. */
export type Verdict = "within" | "short" | "far-beyond";

export class TokenBucket {
  readonly #rate: Rate;
  #left: number;
  #at: number;

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#left = rate.burst;
    this.#at = nowMs;
  }

  /** Spends even if there is not enough, so refused calls cost something, too. */
  spend(count: number, nowMs: number): Verdict {
    const { perSecond, burst } = this.#rate;
    this.#left = Math.min(burst, this.#left + ((nowMs - this.#at) / 1000) * perSecond) - count;
    this.#at = nowMs;
    if (this.#left >= 0) return "within";
    if (this.#left >= -burst) return "short";
    // Debt is limited: a client that stops is served again after at most two bursts' time.
    this.#left = -burst;
    return "far-beyond";
  }

  /**
   * Spends only if there is enough. Many share the bucket, and a caller that asks too much must make no debt for the
   * others. @returns whether there was enough
   */
  take(count: number, nowMs: number): boolean {
    this.spend(0, nowMs);
    if (this.#left < count) return false;
    this.#left -= count;
    return true;
  }

  /** Gives back what was spent in vain. */
  giveBack(count: number): void {
    this.#left = Math.min(this.#rate.burst, this.#left + count);
  }

  /** Whether all tokens have come back. */
  isFull(nowMs: number): boolean {
    this.spend(0, nowMs);
    return this.#left >= this.#rate.burst;
  }

  /**
   * Milliseconds until there are `count` tokens, from the last update; 0 when there are. `count` is at most a burst.
   */
  msUntil(count: number): number {
    return Math.max(0, ((count - this.#left) / this.#rate.perSecond) * 1000);
  }

  /** Milliseconds until a token can be spent; 0 when one can. */
  get waitMs(): number {
    return this.#left > 0 ? 0 : Math.ceil(((1 - this.#left) / this.#rate.perSecond) * 1000);
  }
}
