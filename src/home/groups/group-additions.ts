/**
 * Bounds how often a user may add others to groups: each person a few times, and not many in all. Kept in memory: a
 * restart forgets it all, and a full table forgets the oldest.
 */
import { AppError } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import { TokenBucket, type Rate } from "../../base/token-bucket.ts";
import type { UserId } from "../../domain/address.ts";

export type AdditionRates = { samePerson: Rate; everybody: Rate };

const HOUR_S = 3600;
/** @param samePersonMax how often a user may add the same person before each further time costs an hour's wait */
export const additionRates = (groupMembersMax: number, samePersonMax: number): AdditionRates => ({
  samePerson: { perSecond: 1 / HOUR_S, burst: samePersonMax },
  everybody: { perSecond: 1, burst: Math.max(2000, 2 * groupMembersMax) },
});

const BUCKETS_MAX = 100_000;

export class GroupAdditions {
  readonly #rates: AdditionRates;
  readonly #clock: Clock;
  /** By the user who adds, and by the pair of that user and the one added; oldest use first. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(rates: AdditionRates, clock: Clock) {
    this.#rates = rates;
    this.#clock = clock;
  }

  /** @throws AppError rate_limited; what was counted before the error stays counted */
  take(by: UserId, added: readonly UserId[]): void {
    const others = added.filter((user) => user !== by);
    if (others.length === 0) return;
    this.#spend(by, this.#rates.everybody, others.length, "you added too many people to groups");
    for (const user of others)
      this.#spend(`${by} ${user}`, this.#rates.samePerson, 1, `you added @${user} to groups too often`);
  }

  /** Undoes `take` for users that were not added. */
  giveBack(by: UserId, added: readonly UserId[]): void {
    const others = added.filter((user) => user !== by);
    this.#buckets.get(by)?.giveBack(others.length);
    for (const user of others) this.#buckets.get(`${by} ${user}`)?.giveBack(1);
  }

  #spend(key: string, rate: Rate, count: number, detail: string): void {
    const now = this.#clock.monotonicMs();
    const bucket = this.#buckets.get(key) ?? new TokenBucket(rate, now);
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    this.#forgetOldest();
    if (bucket.spend(count, now) === "within") return;
    const retryAfterMs = Math.max(1000, bucket.waitMs);
    throw new AppError("rate_limited", `${detail}; again in ${Math.ceil(retryAfterMs / 1000)} s`, { retryAfterMs });
  }

  #forgetOldest(): void {
    if (this.#buckets.size <= BUCKETS_MAX) return;
    for (const oldest of this.#buckets.keys()) {
      this.#buckets.delete(oldest);
      return;
    }
  }
}
