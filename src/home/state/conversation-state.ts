/**
 * One conversation as it stands in a user's timeline: with another user, with oneself, or the membership in a group.
 * Seqs are of the owner's timeline unless said otherwise. What is durable is changed by fold/ alone.
 */
import { shardOf, type Address } from "../../domain/address.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import type { MarkOffer } from "../handoffs/mark-offer.ts";
import type { PeerMark, ReadMark } from "../marks/mark-records.ts";

const ZERO = 0 as Seq;

export class ConversationState {
  readonly address: Address;
  lastSeq = ZERO;
  /** Rank of the last message, for the order of lists. Of a group the group knows it. */
  lastRank = 0;
  /** Seq of the last message that the owner sent here, 0 for none; undefined: a version that did not note it wrote the cell, and the log has to be asked. */
  sentSeq: Seq | undefined = ZERO;
  /** Messages from the other side, ever. */
  incoming = 0;
  /** Highest seq of the source's stream that was taken (G8). In the source's numbering. */
  takenThrough = ZERO;
  /** Seq of the entry that took it. */
  takenSeq = ZERO;
  /** Messages from the other side that were erased, which are the first ones there were, and the seq of the last of them. */
  goneIncoming = 0;
  goneSeq = ZERO;
  /** Groups: seq of the group's log at which the user joined; 0 when not a member. In the group's numbering. */
  joinedSeq = ZERO;
  /** Groups: somebody else put the user in. */
  isPutIn = false;
  /** Groups: the membership that the user made their own by posting, as its seq of the group's log. */
  askedSeq = ZERO;

  /** How far the owner has read (a group: in the group's numbering), and how many incoming messages that covers. */
  ownRead = ZERO;
  incomingRead = 0;
  /** A group: how far a device of the owner has its log, as far as one has said since this was loaded. Shown to nobody, so not stored. */
  got = ZERO;

  /** What the other side has got and read of what the owner sent, with the mark counter of each. */
  delivered = ZERO;
  deliveredMark = 0;
  seen = ZERO;
  seenMark = 0;

  /** Messages sent up to it are durable in the receiver's timeline, as far as the receiver's shard has said since this was loaded. */
  confirmedThrough = ZERO;
  /** Groups: what a reply to a post has last said of the group in memory (messages/post.ts). */
  groupLife = 0;

  // ---- numbered but not yet durable
  /** As `sentSeq`. */
  sentPending: Seq | undefined = ZERO;
  takenThroughPending = ZERO;
  incomingPending = 0;
  /** A membership takes its place from the moment when it is numbered. */
  isPutInPending = false;
  askedPending = ZERO;
  deliveredPending = ZERO;
  seenPending = ZERO;
  /** What the other side says, on its way to the log, while it gathers. */
  peerMark: PeerMark | undefined = undefined;
  /** What the owner has read, while it waits or gathers. */
  readMark: ReadMark | undefined = undefined;
  ownReadPending = ZERO;
  incomingReadPending = 0;

  /** What was said to the other side's shard, made when the first is. */
  offer: MarkOffer | undefined = undefined;
  /** What the refs of posts to this group are kept with (post-group.ts): made once a membership. */
  postedRefValue: Uint8Array | undefined = undefined;
  /** Whether its derived cell has to go with the next flush. */
  isDirty = false;
  /** Key of the cell written for every message delivered: made once. */
  readonly deliveredKey: string;

  #shard: ShardId | undefined = undefined;

  constructor(address: Address) {
    this.address = address;
    this.deliveredKey = `delivered/${address}`;
  }

  /** Where the other side lives: worked out once. */
  get shard(): ShardId {
    return (this.#shard ??= shardOf(this.address));
  }

  /** What was erased cannot be read any more. */
  get unread(): number {
    return this.incoming - Math.max(this.incomingRead, this.goneIncoming);
  }

  /** Groups: a membership, durable or on its way, that the user neither asked for nor made their own. */
  get isUnasked(): boolean {
    return this.isPutInPending && this.askedPending < this.takenThroughPending;
  }

  /** Loaded: nothing of it is on its way. */
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
