/**
 * What the sockets of one user share: the budget of frames, and the count of waiting bytes. Kept while a socket is
 * open.
 */
import type { Clock } from "../../base/clock.ts";
import type { UserId } from "../../domain/address.ts";
import type { FrameRates } from "../../domain/limits.ts";
import { FrameBuckets } from "./frame-budget.ts";

export class UserShare {
  readonly user: UserId;
  readonly buckets: FrameBuckets;
  sockets = 0;
  waitingBytes = 0;

  constructor(user: UserId, buckets: FrameBuckets) {
    this.user = user;
    this.buckets = buckets;
  }
}

export class UserShares {
  readonly #rates: FrameRates;
  readonly #clock: Clock;
  readonly #shares = new Map<UserId, UserShare>();

  constructor(rates: FrameRates, clock: Clock) {
    this.#rates = rates;
    this.#clock = clock;
  }

  join(user: UserId): UserShare {
    let share = this.#shares.get(user);
    if (share === undefined) {
      share = new UserShare(user, new FrameBuckets(this.#rates));
      this.#shares.set(user, share);
    }
    share.sockets++;
    return share;
  }

  /** How many sockets the user has, including closed ones that linger. */
  socketsOf(user: UserId): number {
    return this.#shares.get(user)?.sockets ?? 0;
  }

  leave(share: UserShare): void {
    if (--share.sockets > 0) return;
    const { waitMs } = share.buckets;
    if (waitMs === 0) return void this.#shares.delete(share.user);
    // A debt outlives the connection, so that reconnecting does not clear it.
    this.#clock.after(waitMs, () => {
      if (share.sockets === 0 && this.#shares.get(share.user) === share) this.#shares.delete(share.user);
    });
  }
}
