/**
 * How much each user may read from the log by calls, polls and sockets that catch up. Counted in entries that were
 * looked at, whether they were returned or not. Users who have read nothing lately are not in memory.
 */
import { AppError } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import { TokenBucket, type Rate } from "../../base/token-bucket.ts";
import type { UserId } from "../../domain/address.ts";

const USERS_MAX = 20_000;
/** What a call costs that finds nothing. */
const CALL_ENTRIES = 10;
const WAIT_MS_MIN = 100;

export class ReadBudget {
  readonly #rate: Rate;
  readonly #clock: Clock;
  /** The longest unused first. */
  readonly #buckets = new Map<UserId, TokenBucket>();

  constructor(rate: Rate, clock: Clock) {
    this.#rate = rate;
    this.#clock = clock;
  }

  /** How long the user has to wait; 0 while earlier reads are within the budget. */
  waitMs(user: UserId): number {
    const bucket = this.#buckets.get(user);
    if (bucket === undefined || bucket.spend(0, this.#clock.monotonicMs()) === "within") return 0;
    return Math.max(WAIT_MS_MIN, bucket.waitMs);
  }

  /** Called before a call. @throws AppError rate_limited while the user has to wait */
  check(user: UserId): void {
    const retryAfterMs = this.waitMs(user);
    if (retryAfterMs === 0) return;
    const detail = `you read more than ${this.#rate.perSecond} messages a second; go on in ${retryAfterMs} ms`;
    throw new AppError("rate_limited", detail, { retryAfterMs });
  }

  /** Called after a call that looked at so many entries. */
  spend(user: UserId, entries: number): void {
    const now = this.#clock.monotonicMs();
    const bucket = this.#buckets.get(user) ?? new TokenBucket(this.#rate, now);
    this.#buckets.delete(user);
    this.#buckets.set(user, bucket);
    bucket.spend(CALL_ENTRIES + entries, now);
    if (this.#buckets.size > USERS_MAX) this.#forgetOldest();
  }

  #forgetOldest(): void {
    for (const oldest of this.#buckets.keys()) {
      this.#buckets.delete(oldest);
      return;
    }
  }
}
