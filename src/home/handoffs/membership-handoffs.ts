/**
 * Hands the memberships that one change of a group begins or ends over to the shards of those users
 * (take-membership.ts), until each has confirmed (G8).
 *
 * The change is decided when its record is in the group's log. A user's shard that cannot accept the membership is
 * offered it again, from that log (offer-group.ts).
 */
import { AppError } from "../../base/errors.ts";
import type { Steps } from "../../base/steps.ts";
import { shardOf, userAddress, type GroupAddress, type UserId } from "../../domain/address.ts";
import type { GroupChangeDetail } from "../../domain/entries.ts";
import type { Offset, Seq, ShardId } from "../../../storage/types.ts";
import { isDamage } from "../damage.ts";
import type { Handed } from "./handoff-ledger.ts";
import { joinedBy, leftBy } from "./last-membership-change.ts";
import type { HandoffOutcome, MembershipHandoff } from "../messages/handoff.ts";
import type { Shard } from "../shard.ts";

const HANDED_PER_STEP = 32;

/** `prevOf`: seq of the change of this user's membership before it; 0 if the user's shard knows all earlier ones. */
export type MembershipChange = {
  readonly group: GroupAddress;
  readonly epoch: string;
  readonly seq: Seq;
  readonly detail: GroupChangeDetail;
  readonly prevOf: (user: UserId) => Seq;
};

export class MembershipHandoffs implements Handed {
  readonly offset: Offset;
  readonly stream: GroupAddress;
  readonly seq: Seq;
  readonly #shard: Shard;
  /** Confirmed ones are removed, so that one shard that is away does not keep those of a thousand members in memory. */
  readonly #unconfirmed: Set<Membership>;

  constructor(shard: Shard, change: MembershipChange, offset: Offset) {
    this.offset = offset;
    this.stream = change.group;
    this.seq = change.seq;
    this.#shard = shard;
    const { detail } = change;
    this.#unconfirmed = new Set([
      ...joinedBy(detail).map((user) => new Membership(this, change, user, "joined")),
      ...leftBy(detail).map((user) => new Membership(this, change, user, "left")),
    ]);
  }

  get isConfirmed(): boolean {
    return this.#unconfirmed.size === 0;
  }

  /** The change is appended and not yet durable. What cannot go along with it is left for `handOver`. */
  *handOverAlong(): Steps<void> {
    yield* this.#each((to, membership) => {
      membership.isHandedOver = this.#shard.router.handOffAlong(to, membership, membership);
    });
  }

  /** The change is durable. */
  *handOver(): Steps<void> {
    yield* this.#each((to, membership) => {
      if (!membership.isHandedOver) this.#shard.router.handOff(to, membership, membership);
    });
  }

  *#each(handOff: (to: ShardId, membership: Membership) => void): Steps<void> {
    let looked = 0;
    for (const membership of this.#unconfirmed) {
      if (++looked % HANDED_PER_STEP === 0) yield;
      try {
        handOff(shardOf(userAddress(membership.user)), membership);
      } catch (error) {
        membership.isHandedOver = true;
        this.#notHanded(membership.user, error);
      }
    }
  }

  confirmed(membership: Membership): void {
    this.#unconfirmed.delete(membership);
  }

  /** The other members still get theirs. */
  #notHanded(user: UserId, error: unknown): void {
    if (!(error instanceof AppError) && !isDamage(error))
      this.#shard.logger.error("a membership could not be handed over", { error, user });
    this.offerSoon();
  }

  offerSoon(): void {
    this.#shard.offerSoon();
  }
}

class Membership implements MembershipHandoff, HandoffOutcome {
  readonly kind = "membership";
  readonly #handoffs: MembershipHandoffs;
  readonly #of: MembershipChange;
  readonly user: UserId;
  readonly change: "joined" | "left";
  readonly prev: Seq;
  /** True also if it failed: then it is offered again later. */
  isHandedOver = false;

  constructor(handoffs: MembershipHandoffs, of: MembershipChange, user: UserId, change: "joined" | "left") {
    this.#handoffs = handoffs;
    this.#of = of;
    this.user = user;
    this.change = change;
    this.prev = of.prevOf(user);
  }

  get group(): GroupAddress {
    return this.#of.group;
  }

  get epoch(): string {
    return this.#of.epoch;
  }

  get seq(): Seq {
    return this.#of.seq;
  }

  get at(): number {
    return this.#of.detail.at;
  }

  get isUnasked(): boolean {
    return this.change === "joined" && this.#of.detail.by !== this.user;
  }

  confirmed(through: Seq): void {
    if (through >= this.seq) this.#handoffs.confirmed(this);
  }

  missing(): void {
    this.#handoffs.offerSoon();
  }

  notTaken(): void {
    this.#handoffs.offerSoon();
  }
}
