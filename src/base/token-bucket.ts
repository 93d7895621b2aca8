/** A rate with a burst: tokens come back over time, up to the burst. Time is the caller's, in monotonic milliseconds. */

export type Rate = { perSecond: number; burst: number };

/** `short`: more was spent than there is. `far beyond`: a whole burst more than there is. */
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

  /** Spends whatever there is: what is refused has cost something, too. */
  spend(count: number, nowMs: number): Verdict {
    const { perSecond, burst } = this.#rate;
    this.#left = Math.min(burst, this.#left + ((nowMs - this.#at) / 1000) * perSecond) - count;
    this.#at = nowMs;
    if (this.#left >= 0) return "within";
    if (this.#left >= -burst) return "short";
    // A debt has an end: who stops is served again after two bursts' time at most.
    this.#left = -burst;
    return "far-beyond";
  }

  /** Spends only what there is: many share the bucket, and one who asks too much makes no debt for the others. @returns whether there was enough */
  take(count: number, nowMs: number): boolean {
    this.spend(0, nowMs);
    if (this.#left < count) return false;
    this.#left -= count;
    return true;
  }

  /** What was spent came to nothing. */
  giveBack(count: number): void {
    this.#left = Math.min(this.#rate.burst, this.#left + count);
  }

  /** Whether nothing that was spent is still missing. */
  isFull(nowMs: number): boolean {
    this.spend(0, nowMs);
    return this.#left >= this.#rate.burst;
  }

  /** Milliseconds until there are so many, counted from the last look; 0 when there are. `count` is at most a burst. */
  msUntil(count: number): number {
    return Math.max(0, ((count - this.#left) / this.#rate.perSecond) * 1000);
  }

  /** Milliseconds until something can be spent again; 0 when it can. */
  get waitMs(): number {
    return this.#left > 0 ? 0 : Math.ceil(((1 - this.#left) / this.#rate.perSecond) * 1000);
  }
}
