/** A token bucket for each of very many keys, as many as strangers make up: those that owe nothing are forgotten, and if all do, the oldest. */
import type { Clock } from "./clock.ts";
import { TokenBucket, type Rate } from "./token-bucket.ts";

const BUCKETS_MAX = 50_000;
/** Forgetting looks at all of them, so it makes room for many. */
const BUCKETS_LEFT = 40_000;

export class RateBuckets {
  readonly #clock: Clock;
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Spends one of what `key` may, if it is there. @returns 0, or how long to wait for it, milliseconds */
  take(key: string, rate: Rate, count = 1): number {
    const now = this.#clock.monotonicMs();
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      if (this.#buckets.size >= BUCKETS_MAX) this.#forget(now);
      bucket = new TokenBucket(rate, now);
      this.#buckets.set(key, bucket);
    }
    return bucket.take(count, now) ? 0 : Math.max(1, bucket.waitMs);
  }

  #forget(now: number): void {
    for (const [key, bucket] of this.#buckets) if (bucket.isFull(now)) this.#buckets.delete(key);
    for (const key of this.#buckets.keys()) {
      if (this.#buckets.size < BUCKETS_LEFT) return;
      this.#buckets.delete(key);
    }
  }
}
