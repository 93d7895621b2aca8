/**
 * Marks of a shard's users on their way to other shards. What is not confirmed within a second or two is noted in the shard's own log (untold-marks.ts): then nothing waits for
 * the other side any more, and it is offered from there until it is confirmed.
 *
 * Invariant: a user's own `received` and `read` rise only over what is confirmed or noted, so a crash never leaves the own mark without the other side's. Where one log has
 * both shards' records in one order, `read` follows in the same write of it, so that who was told a receipt finds it with everybody.
 */
import { AppError } from "../../base/errors.ts";
import { FencedError } from "../../../storage/errors.ts";
import { isDamage } from "../damage.ts";
import type { MarkOffer } from "./mark-offer.ts";
import type { Shard } from "../shard.ts";
import { UntoldMarks } from "../marks/untold-marks.ts";
import type { UserState } from "../state/user-state.ts";
import type { Seq } from "../../../storage/types.ts";

/** Less than the time between two ticks: a timer may be early. */
const OVERDUE_MS = 900;

export type OfferHooks = {
  /** The log is about to be closed, or is: what is confirmed now comes too late. */
  isStopped(): boolean;
  /** The first of those that are open now. */
  onOpened(): void;
  /** The owner's own marks may rise. */
  onSafe(offer: MarkOffer): void;
};

export class MarkOffers {
  readonly #shard: Shard;
  readonly #hooks: OfferHooks;
  readonly #open = new Set<MarkOffer>();
  readonly untold: UntoldMarks;
  #isForgotten = false;

  constructor(shard: Shard, hooks: OfferHooks) {
    this.#shard = shard;
    this.#hooks = hooks;
    this.untold = new UntoldMarks(shard, hooks.isStopped);
  }

  get isEmpty(): boolean {
    return this.#open.size === 0 && this.untold.isEmpty;
  }

  /** Hands over what it says. What is not confirmed then stays open. */
  hand(offer: MarkOffer): void {
    if (this.#isForgotten) return;
    if (!offer.isOpen) this.#begin(offer);
    try {
      offer.handOff(this.#shard.router);
    } catch (error) {
      // It is offered again with a tick.
      if (!isDamage(error) && !(error instanceof AppError))
        this.#shard.logger.error("a mark could not be handed over", { error });
    }
  }

  #begin(offer: MarkOffer): void {
    offer.isOpen = true;
    offer.seenOpenMs = undefined;
    // Not dropped from memory before it is confirmed.
    offer.owner.pendingMarks++;
    this.#open.add(offer);
    if (this.#open.size === 1) this.#hooks.onOpened();
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
    this.#open.delete(offer);
  }

  /** Those that are found open are offered again, and those that still are a tick later are noted. @returns whether some are left */
  tick(nowMs: number): boolean {
    for (const offer of this.#open) {
      if (offer.seenOpenMs === undefined) this.#offerAgain(offer, nowMs);
      else if (nowMs - offer.seenOpenMs >= OVERDUE_MS) this.#overdue(offer);
    }
    this.untold.offer(nowMs);
    return !this.isEmpty;
  }

  /** Where the disk is slow a note would be as late as what it stands for. */
  #overdue(offer: MarkOffer): void {
    if (offer.isAppended) this.hand(offer);
    else this.#note(offer);
  }

  #offerAgain(offer: MarkOffer, nowMs: number): void {
    offer.seenOpenMs = nowMs;
    this.hand(offer);
  }

  /** In the order of the own log, what is noted is there before the own marks that rise over it. */
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
    this.#open.clear();
    this.untold.forget();
  }

  /** For users with marks that are not safe: how far the timeline has safe ones. */
  floors(): Map<UserState, Seq> {
    const floors = new Map<UserState, Seq>();
    for (const { kind, isDeliveredOpen, owner, safeAfter } of this.#open) {
      if (kind !== "peerMark" || !isDeliveredOpen) continue;
      const floor = floors.get(owner);
      if (floor === undefined || safeAfter < floor) floors.set(owner, safeAfter);
    }
    return floors;
  }
}
