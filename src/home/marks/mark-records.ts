/**
 * Marks on their way to the log: each object gathers what coalesces, encodes one record just before a write, and tells whom it concerns when that
 * record is durable. When the log fails nothing is told: the device says it again after it has come back with its cursor.
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

/** Encodes itself when it is appended, and no sooner: what it says is what has gathered by then. */
export type MarkRecord = RecordSource & {
  readonly log: ShardLog;
  /** It could not be appended: what is pending is again what it was before, so that whoever says the same again is heard. */
  dropped(error: unknown): void;
  /** Of marks that were handed over, where the log is one order for all shards: it was appended. */
  appended?(): void;
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
  /** As they were handed over: the newest of them. */
  #outcome: HandoffOutcome | undefined;
  #handedDelivered = 0 as Seq;
  #handedRead = 0 as Seq;

  /** Before anything that it is to say is pending. */
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

  /** Says what the handoff does. It is confirmed when it is durable. */
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
    if (user.sessions.size === 0) return;
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
    // What was held of it has been told to the other sides already.
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

/** How far the user has read one conversation. It waits until what it means to the other side is safe, and says what there is to say then. */
export class ReadMark implements MarkRecord {
  readonly #user: UserState;
  readonly #conversation: ConversationState;
  /** On its way to the log: what is read later may not be safe when it is encoded. */
  isGathered = false;
  #read = 0 as Seq;
  #incomingRead = 0;
  readonly #readBefore: Seq;
  readonly #incomingReadBefore: number;

  /** Before what it is to say is pending. */
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

  /** All that is pending is safe. */
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
