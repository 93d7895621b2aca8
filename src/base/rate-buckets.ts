/**
 * A token bucket for each key. Strangers can make up any number of keys, so the number of buckets is limited: full
 * buckets are dropped first, and if none is full, the oldest.
 */
import type { Clock } from "./clock.ts";
import { TokenBucket, type Rate } from "./token-bucket.ts";

const BUCKETS_MAX = 50_000;
/** Dropping buckets searches all of them, so it makes room for many at once. */
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

  /** Spends `count` of what `key` may spend, if there is enough. @returns 0, or how long to wait, ms */
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
