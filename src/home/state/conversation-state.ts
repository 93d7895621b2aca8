/**
 * One conversation in a user's timeline: with another user, with oneself, or the membership in a group. Seqs are of the
 * owner's timeline unless said otherwise. Only fold/ changes durable fields. "The peer" is the other user of a direct
 * conversation.
 */
import { nameOf, shardOf, type Address, type UserId } from "../../domain/address.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import type { EarlyMessages } from "../handoffs/early-messages.ts";
import type { MarkOffer } from "../handoffs/mark-offer.ts";
import type { PeerMark, ReadMark } from "../marks/mark-records.ts";

const ZERO = 0 as Seq;

export class ConversationState {
  readonly address: Address;
  lastSeq = ZERO;
  /** Rank of the last message, for the order of lists. For a group the group has it. */
  lastRank = 0;
  /**
   * Seq of the last message that the owner sent here; 0: none. Undefined if the cell is of a version that did not note
   * it: then the log has to be read.
   */
  sentSeq: Seq | undefined = ZERO;
  /** Messages from the peer, ever. */
  incoming = 0;
  /** Highest seq of the source's stream that was accepted (G8). In the source's numbering. */
  takenThrough = ZERO;
  /** Seq of the entry that accepted it. */
  takenSeq = ZERO;
  /** The peer's messages that were erased, always the oldest ones, and the seq of the last of them. */
  goneIncoming = 0;
  goneSeq = ZERO;
  /** Groups: seq of the group's log at which the user joined; 0: no member. In the group's numbering. */
  joinedSeq = ZERO;
  /** Groups: whether another user added this one. */
  isPutIn = false;
  /** Groups: the membership that the user made their own by posting, as its seq of the group's log. */
  askedSeq = ZERO;

  /** How far the owner has read (a group: in the group's numbering), and how many incoming messages that covers. */
  ownRead = ZERO;
  incomingRead = 0;
  /**
   * A group: how far a device of the owner has its log, as far as a device has said since this was loaded. Shown to
   * nobody, so not stored.
   */
  got = ZERO;

  /** The peer's delivery mark and read mark for what the owner sent, each with its mark counter. */
  delivered = ZERO;
  deliveredMark = 0;
  seen = ZERO;
  seenMark = 0;

  /**
   * Messages sent through it are durable in the receiver's timeline, as far as the receiver's shard has said since this
   * was loaded.
   */
  confirmedThrough = ZERO;
  /** Groups: the life of the group in memory that the last reply to a post named (messages/post.ts). */
  groupLife = 0;

  // ---- numbered but not yet durable
  /** As `sentSeq`. */
  sentPending: Seq | undefined = ZERO;
  takenThroughPending = ZERO;
  incomingPending = 0;
  /** A membership counts from the moment when it is numbered. */
  isPutInPending = false;
  askedPending = ZERO;
  deliveredPending = ZERO;
  seenPending = ZERO;
  /** Marks of the peer that are gathered for the log. */
  peerMark: PeerMark | undefined = undefined;
  /** The owner's read mark while it waits or is gathered. */
  readMark: ReadMark | undefined = undefined;
  ownReadPending = ZERO;
  incomingReadPending = 0;

  /** Marks offered to the peer's shard; created with the first. */
  offer: MarkOffer | undefined = undefined;
  /** Messages of the peer that have overtaken an earlier one; created with the first. */
  early: EarlyMessages | undefined = undefined;
  /** The value under which refs of posts to this group are kept (post-group.ts); created once a membership. */
  postedRefValue: Uint8Array | undefined = undefined;
  /** Whether its derived cell has to be written by the next flush. */
  isDirty = false;
  #deliveredKey: string | undefined = undefined;
  #shard: ShardId | undefined = undefined;
  #peer: UserId | undefined = undefined;

  constructor(address: Address) {
    this.address = address;
  }

  /** Key of the cell that each delivered message writes; built once. */
  get deliveredKey(): string {
    return (this.#deliveredKey ??= `delivered/${this.address}`);
  }

  /** The shard of the peer or group; computed once. */
  get shard(): ShardId {
    return (this.#shard ??= shardOf(this.address));
  }

  /** Conversations with a user: that user, computed once. */
  get peer(): UserId {
    return (this.#peer ??= nameOf(this.address) as UserId);
  }

  /** Erased messages do not count as unread. */
  get unread(): number {
    return this.incoming - Math.max(this.incomingRead, this.goneIncoming);
  }

  /** Groups: whether the membership, durable or on its way, was neither asked for nor made an own one. */
  get isUnasked(): boolean {
    return this.isPutInPending && this.askedPending < this.takenThroughPending;
  }

  /** Called after a load: nothing is on its way. */
  endLoad(): void {
    this.sentPending = this.sentSeq;
    this.takenThroughPending = this.takenThrough;
    this.incomingPending = this.incoming;
    this.isPutInPending = this.isPutIn;
    this.askedPending = this.askedSeq;
    this.deliveredPending = this.delivered;
    this.seenPending = this.seen;
    this.ownReadPending = this.ownRead;
    this.incomingReadPending = this.incomingRead;
  }
}
