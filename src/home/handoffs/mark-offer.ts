/**
 * The marks of one user in one conversation, offered to the peer's shard until it confirms them. One object a
 * conversation, which is itself the handoff. It always tells the newest marks, so lost, late and repeated handoffs are
 * harmless.
 */
import type { GroupAddress, UserAddress, UserId } from "../../domain/address.ts";
import type { Seq } from "../../../storage/types.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import type { MarkOffers } from "./mark-offers.ts";
import type { HandoffOutcome, MemberMarkHandoff, PeerMarkHandoff } from "../messages/handoff.ts";
import type { ShardRouter } from "../messages/shard-router.ts";
import type { UserState } from "../state/user-state.ts";

const NONE = 0 as Seq;

export abstract class MarkOffer implements HandoffOutcome {
  abstract readonly kind: "peerMark" | "memberMark";
  /** Of the life of a group that the seqs belong to; empty between users. */
  abstract readonly epoch: string;
  readonly #offers: MarkOffers;
  readonly owner: UserState;
  readonly conversation: ConversationState;
  /** In the peer's numbering. */
  delivered = NONE;
  read = NONE;
  /** Confirmed, or noted here (untold-marks.ts): no crash loses these marks. */
  safeDelivered = NONE;
  safeRead = NONE;
  isOpen = false;
  /** Whether it is in the list of mark-offers.ts. */
  isListed = false;
  /** Monotonic time of the first tick that found it open. */
  seenOpenMs: number | undefined;
  /** Messages of the timeline through this seq have safe marks, as far as this conversation is concerned. */
  safeAfter = NONE;
  /** Marks that are in the log before everything that is appended from now on. */
  #appendedDelivered = NONE;
  #appendedRead = NONE;
  /** The first mark said since `safeAfter`, and what becomes safe with it. */
  #firstPart = NONE;
  #firstPartAfter = NONE;

  constructor(offers: MarkOffers, owner: UserState, conversation: ConversationState) {
    this.#offers = offers;
    this.owner = owner;
    this.conversation = conversation;
  }

  abstract handOff(router: ShardRouter): void;

  get isReadOpen(): boolean {
    return this.read > this.safeRead;
  }

  /** Whether the owner's read mark may be appended to the log. */
  get mayReadFollow(): boolean {
    return this.read <= Math.max(this.safeRead, this.#appendedRead);
  }

  /** Whether all of it is on its way to disk, or there. */
  get isAppended(): boolean {
    return this.mayReadFollow && this.delivered <= Math.max(this.safeDelivered, this.#appendedDelivered);
  }

  get isDeliveredOpen(): boolean {
    return this.delivered > this.safeDelivered;
  }

  sayDelivered(seq: Seq): void {
    if (seq <= this.delivered) return;
    this.#noteParts();
    this.delivered = seq;
    this.#offers.hand(this);
  }

  sayRead(seq: Seq): void {
    if (seq <= this.read) return;
    this.read = seq;
    this.#offers.hand(this);
  }

  /** Called before `delivered` rises. Everything that the owner's devices have confirmed was handed over before. */
  #noteParts(): void {
    const after = this.owner.receivedPending;
    if (!this.isDeliveredOpen) {
      this.safeAfter = after;
      this.#firstPart = NONE;
    } else if (this.#firstPart === 0) {
      this.#firstPart = this.delivered;
      this.#firstPartAfter = after;
    }
  }

  /** All marks of this offer are safe. */
  makeSafe(): void {
    this.safeDelivered = this.delivered;
    this.safeRead = this.read;
  }

  /** Resets all marks. */
  forget(): void {
    this.delivered = this.read = this.safeDelivered = this.safeRead = NONE;
    this.#appendedDelivered = this.#appendedRead = NONE;
  }

  appended(through: Seq, read: Seq): void {
    if (through > this.#appendedDelivered) this.#appendedDelivered = through;
    if (read <= this.#appendedRead) return;
    this.#appendedRead = read;
    this.#offers.appended(this);
  }

  confirmed(through: Seq, read: Seq = NONE): void {
    if (through > this.safeDelivered) this.safeDelivered = Math.min(through, this.delivered) as Seq;
    if (read > this.safeRead) this.safeRead = Math.min(read, this.read) as Seq;
    if (this.#firstPart > 0 && this.safeDelivered >= this.#firstPart) {
      this.safeAfter = this.#firstPartAfter;
      this.#firstPart = NONE;
      // Marks continue to come. The owner's read mark waits only for those before.
      if (!this.isReadOpen) this.seenOpenMs = undefined;
    }
    this.#offers.confirmed(this, through, read);
  }

  missing(): void {}

  /** The next tick offers it again. */
  notTaken(): void {
    this.#appendedDelivered = this.#appendedRead = NONE;
  }
}

export class PeerMarkOffer extends MarkOffer implements PeerMarkHandoff {
  readonly kind = "peerMark";
  readonly epoch = "";

  get from(): UserAddress {
    return this.owner.address;
  }

  get to(): UserAddress {
    return this.conversation.address as UserAddress;
  }

  get receiver(): UserId {
    return this.conversation.peer;
  }

  handOff(router: ShardRouter): void {
    router.handOff(this.conversation.shard, this, this);
  }
}

export class MemberMarkOffer extends MarkOffer implements MemberMarkHandoff {
  readonly kind = "memberMark";
  epoch = "";

  get user(): UserId {
    return this.owner.user;
  }

  get group(): GroupAddress {
    return this.conversation.address as GroupAddress;
  }

  handOff(router: ShardRouter): void {
    router.handOff(this.conversation.shard, this, this);
  }

  /** Seqs that are said from now on belong to this life of the group. */
  inLife(epoch: string): this {
    if (this.epoch !== "" && this.epoch !== epoch) this.forget();
    this.epoch = epoch;
    return this;
  }
}
