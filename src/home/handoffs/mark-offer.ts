/**
 * What a user says of one conversation to the other side's shard, until that confirms it: one object a conversation, which is the handoff itself. It always says the newest, so
 * lost, late and repeated ones are harmless.
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
  /** Of the life of a group that the seqs are of; empty between users. */
  abstract readonly epoch: string;
  readonly #offers: MarkOffers;
  readonly owner: UserState;
  readonly conversation: ConversationState;
  /** In the other side's numbering. */
  delivered = NONE;
  read = NONE;
  /** Confirmed, or noted here (untold-marks.ts): no crash loses it any more. */
  safeDelivered = NONE;
  safeRead = NONE;
  isOpen = false;
  /** Monotonic time of the first tick that found it open. */
  seenOpenMs: number | undefined;
  /** Messages of the timeline up to it have safe marks, as far as this conversation goes. */
  safeAfter = NONE;
  /** Stand in the log before whatever is appended now. */
  #appendedDelivered = NONE;
  #appendedRead = NONE;
  /** What was said first since `safeAfter`, and what is safe with it. */
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

  /** What the owner has read may be appended to the log. */
  get mayReadFollow(): boolean {
    return this.read <= Math.max(this.safeRead, this.#appendedRead);
  }

  /** All of it is on its way to disk, or there. */
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

  /** Before `delivered` rises. All that the owner's devices have said they have was handed over before. */
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

  /** All that it says is safe. */
  makeSafe(): void {
    this.safeDelivered = this.delivered;
    this.safeRead = this.read;
  }

  /** Nothing of what it said counts any more. */
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
      // It goes on. What the owner has read waits for so long, and no longer.
      if (!this.isReadOpen) this.seenOpenMs = undefined;
    }
    this.#offers.confirmed(this, through, read);
  }

  missing(): void {}

  /** It is offered again with a tick. */
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

  /** Seqs that are said from now on are of this life of the group. */
  inLife(epoch: string): this {
    if (this.epoch !== "" && this.epoch !== epoch) this.forget();
    this.epoch = epoch;
    return this;
  }
}
