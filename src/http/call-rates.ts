/**
 * Calls over HTTP have a rate before anything is looked up for them: of an address, less of one that does not say who it is, and of each token. Whoever
 * goes beyond is answered from here.
 *
 * What a call may read is another budget (src/service/read-budget.ts): this one bounds what is spent on calls that come to nothing.
 */
import { AppError } from "../base/errors.ts";
import type { Clock } from "../base/clock.ts";
import { TokenBucket, type Rate } from "../base/token-bucket.ts";

export type CallRateBounds = { address: Rate; stranger: Rate; token: Rate };

const BURST_SECONDS = 4;
const ADDRESS_OVER_TOKEN = 4;
const RETRY_MS_MIN = 50;

/** @param perSecond of one token; an address may have several people behind it, and strangers have little to say */
export function callRateBounds(perSecond: number): CallRateBounds {
  const rate = (factor: number): Rate => ({ perSecond: perSecond * factor, burst: perSecond * factor * BURST_SECONDS });
  return { address: rate(ADDRESS_OVER_TOKEN), token: rate(1), stranger: rate(1) };
}

/** Of addresses and tokens together; the longest unused are forgotten. */
const BUCKETS_MAX = 50_000;

export class CallRates {
  readonly #bounds: CallRateBounds;
  readonly #clock: Clock;
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(bounds: CallRateBounds, clock: Clock) {
    this.#bounds = bounds;
    this.#clock = clock;
  }

  /** Why the call is not taken, if it is not. @param address as src/http/client-address.ts makes it */
  refusal(address: string, headers: Headers): AppError | undefined {
    const now = this.#clock.monotonicMs();
    return this.#take(`a ${address}`, this.#bounds.address, now) ?? this.#ofCaller(address, headers, now);
  }

  #ofCaller(address: string, headers: Headers, now: number): AppError | undefined {
    const token = headers.get("authorization");
    // Whoever asks writes what stands there, and as much as a header holds: the bucket keeps none of it.
    if (token !== null) return this.#take(`t ${Bun.hash.xxHash64(token, 0n)}`, this.#bounds.token, now);
    // An operator's server acts for many.
    return headers.has("x-api-key") ? undefined : this.#take(`s ${address}`, this.#bounds.stranger, now);
  }

  #take(key: string, rate: Rate, now: number): AppError | undefined {
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      bucket = new TokenBucket(rate, now);
      this.#buckets.set(key, bucket);
      if (this.#buckets.size > BUCKETS_MAX) this.#forget(now);
    }
    if (bucket.take(1, now)) return undefined;
    const retryAfterMs = Math.max(RETRY_MS_MIN, bucket.waitMs);
    const detail = `more than ${rate.perSecond} calls a second; go on in ${retryAfterMs} ms`;
    return new AppError("rate_limited", detail, { retryAfterMs });
  }

  /** Those that owe nothing go first, and if all do, the oldest. */
  #forget(now: number): void {
    for (const [key, bucket] of this.#buckets) if (bucket.isFull(now)) this.#buckets.delete(key);
    for (const key of this.#buckets.keys()) {
      if (this.#buckets.size <= BUCKETS_MAX) return;
      this.#buckets.delete(key);
    }
  }
}
