/**
 * A direct message: into the sender's timeline, handed over to the receiver's.
 *
 * Both records ride the same frame of the log when both shards are here, the sender's first: the receiver's is never there alone, and it is there
 * whenever the sender's is. Everything is shown only after the frame is durable (G1, G5, G8).
 */
import type { Address, UserAddress, UserId } from "../domain/address.ts";
import type { IdBatch } from "../domain/message-id.ts";
import { payloadBytesMax, writeSent, writeTaken } from "../domain/entries.ts";
import { jsonString, messageFrame } from "../protocol/encode.ts";
import type { RecordSource } from "../../storage/shard/staged-record.ts";
import type { Seq } from "../../storage/types.ts";
import type { ConversationState } from "./conversation-state.ts";
import { foldSent, foldTaken } from "./fold/timeline.ts";
import type { PendingSend, SendReply, SendRequest } from "./pending-send.ts";
import type { Shards } from "./shards.ts";
import { settle, refuseAll, unknownFate } from "./settle-send.ts";
import type { UserState } from "./user-state.ts";

/** The request is allowed, is no repeat, and the receiver exists. */
export function sendDirect(
  host: Shards,
  sender: UserState,
  receiver: UserState,
  request: SendRequest,
  reply: SendReply,
): void {
  const sentAt = host.clock.now();
  const rank = host.ranks.direct(sentAt);
  const { log, nextSeq: seq } = sender;
  const send = new DirectSend(host, sender, request, reply, seq, sentAt, rank);
  const savepoint = log.savepoint;
  log.append(send);
  try {
    if (receiver !== sender) take(receiver, send, sender.address, sender.user, seq, sender.handle.streamNo);
  } catch (error) {
    log.rollBack(savepoint);
    throw error;
  }
  sender.nextSeq = (seq + 1) as Seq;
  sender.pendingSends.push(send);
  sender.bytesOnTheWay += send.textBytes;
}

class DirectSend implements RecordSource, PendingSend {
  readonly sender: UserState;
  readonly reply: SendReply;
  readonly ref: string;
  readonly to: Address;
  readonly text: string;
  readonly seq: Seq;
  readonly sentAt: number;
  readonly rank: number;
  textBytes = 0;
  repeats: SendReply[] | undefined = undefined;
  #id: string | undefined;
  readonly #ids: IdBatch;
  readonly #idAt: number;
  #textJson: string | undefined;

  constructor(
    host: Shards,
    sender: UserState,
    request: SendRequest,
    reply: SendReply,
    seq: Seq,
    sentAt: number,
    rank: number,
  ) {
    this.sender = sender;
    this.reply = reply;
    this.ref = request.ref;
    this.to = request.to;
    this.text = request.text;
    this.seq = seq;
    this.sentAt = sentAt;
    this.rank = rank;
    this.#ids = host.ids.gathering;
    this.#idAt = this.#ids.add(sender.log.shard, sender.handle.streamNo, seq);
  }

  /** Of the place that it got with its number: whoever asks first, here or at the receiver, has it encrypted. */
  get id(): string {
    return (this.#id ??= this.#ids.id(this.#idAt));
  }

  get textJson(): string {
    return (this.#textJson ??= jsonString(this.text));
  }

  encode(): void {
    const { sender, to, ref, seq, text } = this;
    const { log } = sender;
    log.beginEntry(sender.handle, to, ref, seq, payloadBytesMax(text));
    this.textBytes = writeSent(log.writer, this.sentAt, text, this.rank);
    log.endEntry();
  }

  committed(): void {
    const { sender } = this;
    foldSent(sender, sender.conversation(this.to), this.seq, this.rank, this.textBytes);
    settle(sender, this, this.reply, this);
    if (this.#hasOtherDevices) this.#tellOtherDevices();
  }

  failed(error: Error): void {
    refuseAll(this, this.reply, unknownFate(error));
  }

  /** Not by their number alone: the device that sent may have gone meanwhile. */
  get #hasOtherDevices(): boolean {
    const { sessions } = this.sender;
    return (
      sessions.size > 1 ||
      (sessions.size === 1 && (this.reply.session === undefined || !sessions.has(this.reply.session)))
    );
  }

  #tellOtherDevices(): void {
    const { sender, id, to, seq, sentAt } = this;
    const frame = messageFrame(id, to, sender.user, this.textJson, seq, sentAt, jsonString(this.ref));
    for (const session of sender.sessions) if (session !== this.reply.session) session.entry("timeline", seq, frame);
  }
}

/** What a handoff carries; after a crash it is read from the sender's log instead of being at hand. */
export type Handoff = {
  readonly id: string;
  readonly sentAt: number;
  readonly rank: number;
  readonly text: string;
  readonly textJson: string;
};

/** Into the receiver's timeline, unless it is there already (G8). */
export function take(
  receiver: UserState,
  handoff: Handoff,
  from: UserAddress,
  sender: UserId,
  fromSeq: Seq,
  fromStreamNo: number,
): void {
  const conversation = receiver.conversation(from);
  if (fromSeq <= conversation.takenThroughPending) return;
  const seq = receiver.nextSeq;
  const ordinal = conversation.incomingPending + 1;
  receiver.log.append(new DirectTake(receiver, conversation, handoff, sender, seq, fromSeq, fromStreamNo, ordinal));
  receiver.nextSeq = (seq + 1) as Seq;
  conversation.takenThroughPending = fromSeq;
  conversation.incomingPending = ordinal;
}

class DirectTake implements RecordSource {
  readonly receiver: UserState;
  readonly conversation: ConversationState;
  readonly handoff: Handoff;
  readonly sender: UserId;
  readonly seq: Seq;
  readonly fromSeq: Seq;
  readonly fromStreamNo: number;
  readonly ordinal: number;

  constructor(
    receiver: UserState,
    conversation: ConversationState,
    handoff: Handoff,
    sender: UserId,
    seq: Seq,
    fromSeq: Seq,
    fromStreamNo: number,
    ordinal: number,
  ) {
    this.receiver = receiver;
    this.conversation = conversation;
    this.handoff = handoff;
    this.sender = sender;
    this.seq = seq;
    this.fromSeq = fromSeq;
    this.fromStreamNo = fromStreamNo;
    this.ordinal = ordinal;
  }

  encode(): void {
    const { receiver, handoff } = this;
    const { log } = receiver;
    log.beginEntry(receiver.handle, this.conversation.address, "", this.seq, payloadBytesMax(handoff.text));
    const { sentAt, rank, text } = handoff;
    writeTaken(log.writer, sentAt, this.fromSeq, this.fromStreamNo, this.ordinal, text, rank);
    log.endEntry();
  }

  committed(): void {
    const { receiver, conversation, handoff, seq, fromSeq } = this;
    foldTaken(receiver, conversation, seq, handoff.rank, fromSeq, this.ordinal);
    receiver.undelivered.push({ seq, conversation, fromSeq });
    if (receiver.sessions.size === 0) return;
    const frame = messageFrame(handoff.id, conversation.address, this.sender, handoff.textJson, seq, handoff.sentAt);
    for (const session of receiver.sessions) session.entry("timeline", seq, frame);
  }

  failed(): void {
    // The sender is told; the state that counted this entry is dropped with the failed log.
  }
}
