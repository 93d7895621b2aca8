/**
 * Marks on their way to the log: each object gathers what coalesces, encodes one record just before a write, and tells whom it concerns when that
 * record is durable. When the log fails nothing is told: the device says it again after it has come back with its cursor.
 */
import type { UserId } from "../domain/address.ts";
import { authorOf, POSTED_LANE } from "../domain/entries.ts";
import { receiptFrame } from "../protocol/encode.ts";
import type { ReceiptKind } from "../protocol/frames.ts";
import type { RecordSource } from "../../storage/shard/staged-record.ts";
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import type { Seq } from "../../storage/types.ts";
import type { ConversationState } from "./conversation-state.ts";
import { foldMemberDelivered, foldMemberSeen } from "./fold/group-cells.ts";
import { foldDelivered, foldRead, foldReceived, foldSeen } from "./fold/timeline-cells.ts";
import type { GroupState } from "./group-state.ts";
import type { Shards } from "./shards.ts";
import type { UserState } from "./user-state.ts";

const AUTHORS_TOLD_MAX = 500;

/** Encodes itself when it is appended, and no sooner: what it says is what has gathered by then. */
export type MarkRecord = RecordSource & {
  readonly log: ShardLog;
  /** It could not be appended: what is pending is again what it was before, so that whoever says the same again is heard. */
  dropped(): void;
};

/** The other side's marks in one conversation of `user`. */
export class PeerMark implements MarkRecord {
  readonly #user: UserState;
  readonly #conversation: ConversationState;
  #delivered = 0 as Seq;
  #deliveredMark = 0;
  #seen = 0 as Seq;
  #seenMark = 0;
  readonly #deliveredBefore: Seq;
  readonly #seenBefore: Seq;

  /** Before anything that it is to say is pending. */
  constructor(user: UserState, conversation: ConversationState) {
    this.#user = user;
    this.#conversation = conversation;
    this.#deliveredBefore = conversation.deliveredPending;
    this.#seenBefore = conversation.seenPending;
  }

  get log(): ShardLog {
    return this.#user.log;
  }

  encode(): void {
    const user = this.#user;
    const conversation = this.#conversation;
    const { log, handle } = user;
    conversation.isMarkPending = false;
    let count = user.markCountPending;
    if (conversation.deliveredPending > conversation.delivered) {
      this.#delivered = conversation.deliveredPending;
      this.#deliveredMark = ++count;
      log.putNumbers(handle, conversation.deliveredKey, this.#delivered, this.#deliveredMark);
    }
    if (conversation.seenPending > conversation.seen) {
      this.#seen = conversation.seenPending;
      this.#seenMark = ++count;
      log.putNumbers(handle, `seen/${conversation.address}`, this.#seen, this.#seenMark);
    }
    user.markCountPending = count;
  }

  dropped(): void {
    const conversation = this.#conversation;
    conversation.isMarkPending = false;
    conversation.deliveredPending = this.#deliveredBefore;
    conversation.seenPending = this.#seenBefore;
    this.#user.pendingMarks--;
  }

  committed(): void {
    const user = this.#user;
    const conversation = this.#conversation;
    user.pendingMarks--;
    if (this.#delivered > 0) {
      foldDelivered(user, conversation, this.#delivered, this.#deliveredMark);
      this.#tell("delivered", this.#delivered, this.#deliveredMark);
    }
    if (this.#seen > 0) {
      foldSeen(user, conversation, this.#seen, this.#seenMark);
      this.#tell("read", this.#seen, this.#seenMark);
    }
  }

  failed(): void {}

  #tell(kind: ReceiptKind, seq: Seq, mark: number): void {
    const user = this.#user;
    if (user.sessions.size === 0) return;
    const { address } = this.#conversation;
    const frame = receiptFrame(kind, address, address.slice(1), seq, mark);
    for (const session of user.sessions) session.notice(frame, mark);
  }
}

/** How far the user's devices have the timeline. */
export class ReceivedMark implements MarkRecord {
  readonly #user: UserState;
  readonly #before: Seq;
  #seq = 0 as Seq;

  /** Before what it is to say is pending. */
  constructor(user: UserState) {
    this.#user = user;
    this.#before = user.receivedPending;
  }

  get log(): ShardLog {
    return this.#user.log;
  }

  encode(): void {
    const user = this.#user;
    this.#seq = user.receivedPending;
    user.isReceivedPending = false;
    user.log.putNumbers(user.handle, "received", this.#seq);
  }

  dropped(): void {
    const user = this.#user;
    user.isReceivedPending = false;
    // What was held of it has been told to the other sides already.
    user.undelivered.forgetThrough(user.receivedPending);
    user.receivedPending = this.#before;
    user.pendingMarks--;
  }

  committed(): void {
    this.#user.pendingMarks--;
    foldReceived(this.#user, this.#seq);
  }

  failed(): void {}
}

/** How far the user has read one conversation. */
export class ReadMark implements MarkRecord {
  readonly #user: UserState;
  readonly #conversation: ConversationState;
  #read = 0 as Seq;
  #incomingRead = 0;
  readonly #readBefore: Seq;
  readonly #incomingReadBefore: number;

  /** Before what it is to say is pending. */
  constructor(user: UserState, conversation: ConversationState) {
    this.#user = user;
    this.#conversation = conversation;
    this.#readBefore = conversation.ownReadPending;
    this.#incomingReadBefore = conversation.incomingReadPending;
  }

  get log(): ShardLog {
    return this.#user.log;
  }

  encode(): void {
    const { address, ownReadPending, incomingReadPending } = this.#conversation;
    const { log, handle } = this.#user;
    this.#read = ownReadPending;
    this.#incomingRead = incomingReadPending;
    log.putNumbers(handle, `read/${address}`, ownReadPending, incomingReadPending);
  }

  dropped(): void {
    const conversation = this.#conversation;
    conversation.ownReadPending = this.#readBefore;
    conversation.incomingReadPending = this.#incomingReadBefore;
    this.#user.pendingMarks--;
  }

  committed(): void {
    this.#user.pendingMarks--;
    foldRead(this.#conversation, this.#read, this.#incomingRead);
  }

  failed(): void {}
}

/** A member's marks in a small group's log, told to the authors of what they cover. */
export class MemberMark implements MarkRecord {
  readonly #host: Shards;
  readonly #group: GroupState;
  readonly #user: UserState;
  #delivered = 0 as Seq;
  #seen = 0 as Seq;
  readonly #deliveredBefore: Seq;
  readonly #seenBefore: Seq;

  /** Before anything that it is to say is pending. */
  constructor(host: Shards, group: GroupState, user: UserState) {
    this.#host = host;
    this.#group = group;
    this.#user = user;
    const { deliveredPending, seenPending } = group.marksOf(user.user);
    this.#deliveredBefore = deliveredPending;
    this.#seenBefore = seenPending;
  }

  get log(): ShardLog {
    return this.#group.log;
  }

  encode(): void {
    const { log, handle } = this.#group;
    const { user } = this.#user;
    const marks = this.#group.marksOf(user);
    this.#delivered = marks.deliveredPending;
    this.#seen = marks.seenPending;
    if (this.#delivered > marks.delivered) log.putNumbers(handle, `delivered/${user}`, this.#delivered);
    if (this.#seen > marks.seen) log.putNumbers(handle, `seen/${user}`, this.#seen);
  }

  dropped(): void {
    const group = this.#group;
    const marks = group.marksOf(this.#user.user);
    // Marks of a former life of the group are none.
    marks.deliveredPending = this.#deliveredBefore < group.bornSeq ? marks.delivered : this.#deliveredBefore;
    marks.seenPending = this.#seenBefore < group.bornSeq ? marks.seen : this.#seenBefore;
    const conversation = this.#user.conversation(group.address);
    conversation.got = Math.min(conversation.got, this.#deliveredBefore) as Seq;
    group.pendingMarks--;
  }

  committed(): void {
    const marks = this.#group.marksOf(this.#user.user);
    this.#group.pendingMarks--;
    const { delivered, seen } = marks;
    foldMemberDelivered(marks, this.#delivered);
    foldMemberSeen(marks, this.#seen);
    if (this.#delivered > delivered) this.#tellAuthors("delivered", delivered, this.#delivered);
    if (this.#seen > seen) this.#tellAuthors("read", seen, this.#seen);
  }

  failed(): void {}

  /** Those who are in the group: whoever has left sees nothing of it any more. */
  #tellAuthors(kind: ReceiptKind, after: Seq, through: Seq): void {
    const group = this.#group;
    const reader = this.#user.user;
    // Most marks come while nobody else is there, and nothing has to be read then.
    if (!group.members.has(reader) || !this.#isAnybodyElseThere()) return;
    const newest = new Map<UserId, Seq>();
    const from = Math.max(after, through - AUTHORS_TOLD_MAX, group.bornSeq - 1) as Seq;
    for (const stored of group.log.readLaneForward(group.address, POSTED_LANE, from, through - from)) {
      if (stored.seq > through) break;
      const author = authorOf(stored);
      if (author !== undefined && author !== reader && group.members.has(author)) newest.set(author, stored.seq);
    }
    for (const [author, seq] of newest) {
      const frame = receiptFrame(kind, group.address, reader, seq);
      for (const session of this.#host.users.peek(author)?.sessions ?? []) session.notice(frame);
    }
  }

  #isAnybodyElseThere(): boolean {
    for (const member of this.#group.members.keys())
      if (member !== this.#user.user && (this.#host.users.peek(member)?.sessions.size ?? 0) > 0) return true;
    return false;
  }
}
