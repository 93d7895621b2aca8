/**
 * Marks of a shard's users on their way to other shards. A mark that is not confirmed within a second or two is noted
 * in the shard's own log (untold-marks.ts). Then nothing waits for the peer's shard any more, and the mark is offered
 * from the note until it is confirmed.
 *
 * Invariant: a user's own `received` and `read` rise only over marks that are confirmed or noted. So a crash never
 * leaves the user's own mark without the peer's copy. If one log has both shards' records in one order, `read` follows
 * in the same write of it. So a user who was told a receipt finds it everywhere.
 */
import { AppError } from "../../base/errors.ts";
import { FencedError } from "../../../storage/errors.ts";
import { isDamage } from "../damage.ts";
import type { MarkOffer } from "./mark-offer.ts";
import type { Shard } from "../shard.ts";
import { UntoldMarks } from "../marks/untold-marks.ts";
import type { UserState } from "../state/user-state.ts";
import type { Seq } from "../../../storage/types.ts";

/** Less than the time between two ticks, since a timer may be early. */
const OVERDUE_MS = 900;

export type OfferHooks = {
  /** Whether the log is closed or about to be: later confirmations come too late. */
  isStopped(): boolean;
  /** Called for the first offer that is open now. */
  onOpened(): void;
  /** Called when the owner's own marks may rise. */
  onSafe(offer: MarkOffer): void;
};

export class MarkOffers {
  readonly #shard: Shard;
  readonly #hooks: OfferHooks;
  /** Offers that are open now or were open since the last tick. A set would cost more for each mark. */
  #listed: MarkOffer[] = [];
  #openCount = 0;
  readonly untold: UntoldMarks;
  #isForgotten = false;

  constructor(shard: Shard, hooks: OfferHooks) {
    this.#shard = shard;
    this.#hooks = hooks;
    this.untold = new UntoldMarks(shard, hooks.isStopped);
  }

  get isEmpty(): boolean {
    return this.#openCount === 0 && this.untold.isEmpty;
  }

  /** Hands over the offer's marks. It stays open until they are confirmed. */
  hand(offer: MarkOffer): void {
    if (this.#isForgotten) return;
    if (!offer.isOpen) this.#begin(offer);
    try {
      offer.handOff(this.#shard.router);
    } catch (error) {
      // The next tick offers it again.
      if (!isDamage(error) && !(error instanceof AppError))
        this.#shard.logger.error("a mark could not be handed over", { error });
    }
  }

  #begin(offer: MarkOffer): void {
    offer.isOpen = true;
    offer.seenOpenMs = undefined;
    // The owner stays in memory until the offer is confirmed.
    offer.owner.pendingMarks++;
    if (!offer.isListed) {
      offer.isListed = true;
      this.#listed.push(offer);
    }
    if (++this.#openCount === 1) this.#hooks.onOpened();
  }

  confirmed(offer: MarkOffer, through: Seq, read: Seq): void {
    if (this.#hooks.isStopped()) return;
    if (!this.untold.isEmpty) this.untold.confirmed(offer, through, read);
    if (!offer.isOpen) return;
    if (!offer.isReadOpen && !offer.isDeliveredOpen) this.#end(offer);
    this.#hooks.onSafe(offer);
  }

  /** The owner's own mark may follow in the same log. */
  appended(offer: MarkOffer): void {
    if (offer.isOpen && !this.#hooks.isStopped()) this.#hooks.onSafe(offer);
  }

  #end(offer: MarkOffer): void {
    offer.isOpen = false;
    offer.owner.pendingMarks--;
    this.#openCount--;
  }

  /** Offers open marks again; marks that are still open a tick later are noted. @returns whether some are left */
  tick(nowMs: number): boolean {
    for (const offer of this.#listed) {
      if (!offer.isOpen) continue;
      if (offer.seenOpenMs === undefined) this.#offerAgain(offer, nowMs);
      else if (nowMs - offer.seenOpenMs >= OVERDUE_MS) this.#overdue(offer);
    }
    this.#listed = this.#listed.filter((offer) => (offer.isListed = offer.isOpen));
    this.untold.offer(nowMs);
    return !this.isEmpty;
  }

  /** Already appended marks are not noted: on a slow disk a note would be as late as they are. */
  #overdue(offer: MarkOffer): void {
    if (offer.isAppended) this.hand(offer);
    else this.#note(offer);
  }

  #offerAgain(offer: MarkOffer, nowMs: number): void {
    offer.seenOpenMs = nowMs;
    this.hand(offer);
  }

  /** The note stands in the log before the owner's own marks that rise over it. */
  #note(offer: MarkOffer): void {
    try {
      this.untold.note(offer);
    } catch (error) {
      if (!isDamage(error) && !(error instanceof FencedError))
        this.#shard.logger.error("a mark could not be noted", { error });
      return;
    }
    offer.makeSafe();
    this.#end(offer);
    this.#hooks.onSafe(offer);
  }

  /** The shard is closed. */
  forget(): void {
    this.#isForgotten = true;
    for (const offer of this.#listed) offer.isOpen = offer.isListed = false;
    this.#listed = [];
    this.#openCount = 0;
    this.untold.forget();
  }

  /** For users with marks that are not safe: the seq of the timeline through which marks are safe. */
  floors(): Map<UserState, Seq> {
    const floors = new Map<UserState, Seq>();
    for (const { kind, isOpen, isDeliveredOpen, owner, safeAfter } of this.#listed) {
      if (!isOpen || kind !== "peerMark" || !isDeliveredOpen) continue;
      const floor = floors.get(owner);
      if (floor === undefined || safeAfter < floor) floors.set(owner, safeAfter);
    }
    return floors;
  }
}
