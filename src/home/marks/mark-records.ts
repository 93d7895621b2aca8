/**
 * Marks on their way to the log. Each object gathers marks that coalesce, encodes one record just before a write, and
 * tells the affected users when that record is durable. If the log fails nothing is told: the device says it again
 * after it has come back with its cursor.
 */
import { receiptFrame } from "../../protocol/encode.ts";
import type { ReceiptKind } from "../../protocol/frames.ts";
import type { RecordSource } from "../../../storage/shard/staged-record.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import type { Seq } from "../../../storage/types.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import { foldDelivered, foldRead, foldReceived, foldSeen } from "../fold/timeline-cells.ts";
import type { HandoffOutcome, PeerMarkHandoff } from "../messages/handoff.ts";
import type { UserState } from "../state/user-state.ts";

/** Encodes itself only when it is appended: it says what has gathered by then. */
export type MarkRecord = RecordSource & {
  readonly log: ShardLog;
  /** The record could not be appended. Pending marks are reset, so that a repeated mark is not ignored. */
  dropped(error: unknown): void;
  /** For marks that were handed over, if the log is one order for all shards: the record was appended. */
  appended?(): void;
};

/** The peer's marks in one conversation of `user`. */
export class PeerMark implements MarkRecord {
  readonly #user: UserState;
  readonly #conversation: ConversationState;
  #delivered = 0 as Seq;
  #deliveredMark = 0;
  #seen = 0 as Seq;
  #seenMark = 0;
  readonly #deliveredBefore: Seq;
  readonly #seenBefore: Seq;
  /** The newest marks that were handed over. */
  #outcome: HandoffOutcome | undefined;
  #handedDelivered = 0 as Seq;
  #handedRead = 0 as Seq;

  /** Created before the marks that it is to say are pending. */
  constructor(user: UserState, conversation: ConversationState) {
    this.#user = user;
    this.#conversation = conversation;
    user.pendingMarks++;
    conversation.peerMark = this;
    this.#deliveredBefore = conversation.deliveredPending;
    this.#seenBefore = conversation.seenPending;
  }

  get log(): ShardLog {
    return this.#user.log;
  }

  /** Says the handoff's marks. The handoff is confirmed when they are durable. */
  take({ delivered, read }: PeerMarkHandoff, outcome: HandoffOutcome): void {
    this.#outcome = outcome;
    if (delivered > this.#handedDelivered) this.#handedDelivered = delivered;
    if (read > this.#handedRead) this.#handedRead = read;
  }

  encode(): void {
    const user = this.#user;
    const conversation = this.#conversation;
    const { log, handle } = user;
    conversation.peerMark = undefined;
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

  appended(): void {
    this.#outcome?.appended?.(this.#handedDelivered, this.#handedRead);
  }

  dropped(error: unknown): void {
    const conversation = this.#conversation;
    conversation.peerMark = undefined;
    conversation.deliveredPending = this.#deliveredBefore;
    conversation.seenPending = this.#seenBefore;
    this.#user.pendingMarks--;
    this.#outcome?.notTaken(error);
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
    this.#outcome?.confirmed(this.#handedDelivered, this.#handedRead);
  }

  failed(error: Error): void {
    this.#outcome?.notTaken(error);
  }

  #tell(kind: ReceiptKind, seq: Seq, mark: number): void {
    const user = this.#user;
    if (user.sessions.length === 0) return;
    const { address } = this.#conversation;
    const frame = receiptFrame(kind, address, address.slice(1), seq, mark);
    for (const session of user.sessions) session.notice(frame, mark);
  }
}

/** How far the user's devices have the timeline. */
export class ReceivedMark implements MarkRecord {
  readonly #user: UserState;
  readonly #seq: Seq;

  constructor(user: UserState, seq: Seq) {
    this.#user = user;
    this.#seq = seq;
    user.pendingMarks++;
  }

  get log(): ShardLog {
    return this.#user.log;
  }

  encode(): void {
    const user = this.#user;
    user.log.putNumbers(user.handle, "received", this.#seq);
    user.receivedAppended = this.#seq;
  }

  dropped(): void {
    const user = this.#user;
    // The peers have been told of the messages that were held.
    user.undelivered.forgetThrough(user.receivedPending);
    user.receivedPending = user.receivedAppended;
    user.pendingMarks--;
  }

  committed(): void {
    this.#user.pendingMarks--;
    foldReceived(this.#user, this.#seq);
  }

  failed(): void {}
}

/**
 * How far the user has read one conversation. Waits until the peer's copy of the read mark is safe, and then says the
 * newest.
 */
export class ReadMark implements MarkRecord {
  readonly #user: UserState;
  readonly #conversation: ConversationState;
  /** On its way to the log: a read that comes later may not be safe when this is encoded. */
  isGathered = false;
  #read = 0 as Seq;
  #incomingRead = 0;
  readonly #readBefore: Seq;
  readonly #incomingReadBefore: number;

  /** Created before the mark that it is to say is pending. */
  constructor(user: UserState, conversation: ConversationState) {
    this.#user = user;
    this.#conversation = conversation;
    user.pendingMarks++;
    conversation.readMark = this;
    this.#readBefore = conversation.ownReadPending;
    this.#incomingReadBefore = conversation.incomingReadPending;
  }

  get log(): ShardLog {
    return this.#user.log;
  }

  /** Everything pending is safe. */
  capture(): void {
    this.#read = this.#conversation.ownReadPending;
    this.#incomingRead = this.#conversation.incomingReadPending;
  }

  encode(): void {
    const { log, handle } = this.#user;
    this.#forget();
    log.putNumbers(handle, `read/${this.#conversation.address}`, this.#read, this.#incomingRead);
  }

  dropped(): void {
    const conversation = this.#conversation;
    this.#forget();
    conversation.ownReadPending = this.#readBefore;
    conversation.incomingReadPending = this.#incomingReadBefore;
    this.#user.pendingMarks--;
  }

  committed(): void {
    this.#user.pendingMarks--;
    foldRead(this.#conversation, this.#read, this.#incomingRead);
  }

  failed(): void {}

  #forget(): void {
    if (this.#conversation.readMark === this) this.#conversation.readMark = undefined;
  }
}
