/**
 * Limits the rate of HTTP calls before anything is looked up for them: per address, with a lower rate for calls without
 * credentials, and per token. Calls beyond the rate are answered here.
 *
 * What a call may read is a separate budget (src/home/reading/read-budget.ts). This one bounds the cost of calls that
 * fail.
 */
import { AppError } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import { RateBuckets } from "../../base/rate-buckets.ts";
import type { Rate } from "../../base/token-bucket.ts";

export type CallRateBounds = { address: Rate; stranger: Rate; token: Rate };

const BURST_SECONDS = 4;
const ADDRESS_OVER_TOKEN = 4;
const RETRY_MS_MIN = 50;

/** @param perSecond of one token. Several people may share an address, so it gets more; strangers need few calls. */
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

  /** Undefined if the call is within the rates. @param address from src/edge/http/client-address.ts */
  refusal(address: string, headers: Headers): AppError | undefined {
    return this.#take(`a ${address}`, this.#bounds.address) ?? this.#ofCaller(address, headers);
  }

  #ofCaller(address: string, headers: Headers): AppError | undefined {
    const token = headers.get("authorization");
    // The client chooses the token's text, up to the size of a header: the bucket keeps only its hash.
    if (token !== null) return this.#take(`t ${Bun.hash.xxHash64(token, 0n)}`, this.#bounds.token);
    // An operator's server calls for many users.
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
