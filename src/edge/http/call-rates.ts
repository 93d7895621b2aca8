/**
 * Calls over HTTP have a rate before anything is looked up for them: of an address, less of one that does not say who it is, and of each token. Whoever
 * goes beyond is answered from here.
 *
 * What a call may read is another budget (src/home/reading/read-budget.ts): this one bounds what is spent on calls that come to nothing.
 */
import { AppError } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import { RateBuckets } from "../../base/rate-buckets.ts";
import type { Rate } from "../../base/token-bucket.ts";

export type CallRateBounds = { address: Rate; stranger: Rate; token: Rate };

const BURST_SECONDS = 4;
const ADDRESS_OVER_TOKEN = 4;
const RETRY_MS_MIN = 50;

/** @param perSecond of one token; an address may have several people behind it, and strangers have little to say */
export function callRateBounds(perSecond: number): CallRateBounds {
  const rate = (factor: number): Rate => ({ perSecond: perSecond * factor, burst: perSecond * factor * BURST_SECONDS });
  return { address: rate(ADDRESS_OVER_TOKEN), token: rate(1), stranger: rate(1) };
}

export class CallRates {
  readonly #bounds: CallRateBounds;
  readonly #buckets: RateBuckets;

  constructor(bounds: CallRateBounds, clock: Clock) {
    this.#bounds = bounds;
    this.#buckets = new RateBuckets(clock);
  }

  /** Why the call is not taken, if it is not. @param address as src/edge/http/client-address.ts makes it */
  refusal(address: string, headers: Headers): AppError | undefined {
    return this.#take(`a ${address}`, this.#bounds.address) ?? this.#ofCaller(address, headers);
  }

  #ofCaller(address: string, headers: Headers): AppError | undefined {
    const token = headers.get("authorization");
    // Whoever asks writes what stands there, and as much as a header holds: the bucket keeps none of it.
    if (token !== null) return this.#take(`t ${Bun.hash.xxHash64(token, 0n)}`, this.#bounds.token);
    // An operator's server acts for many.
    return headers.has("x-api-key") ? undefined : this.#take(`s ${address}`, this.#bounds.stranger);
  }

  #take(key: string, rate: Rate): AppError | undefined {
    const waitMs = this.#buckets.take(key, rate);
    if (waitMs === 0) return undefined;
    const retryAfterMs = Math.max(RETRY_MS_MIN, waitMs);
    const detail = `more than ${rate.perSecond} calls a second; go on in ${retryAfterMs} ms`;
    return new AppError("rate_limited", detail, { retryAfterMs });
  }
}
