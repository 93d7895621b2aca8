/**
 * A direct message: written to the sender's timeline, and handed over to the receiver's.
 *
 * The sender gets `sent` when its own record is durable (G1). From then on the handoff is offered until the receiver's
 * shard has it (G8): unconfirmed messages are read again from the log (handoffs.ts).
 */
import type { Address, UserAddress, UserId } from "../../domain/address.ts";
import { payloadBytesMax, readTimelineEntry, writeSent } from "../../domain/entries.ts";
import type { IdBatch } from "../../domain/message-id.ts";
import { jsonString, messageFrame } from "../../protocol/encode.ts";
import type { RecordSource } from "../../../storage/shard/staged-record.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import type { Offset, Seq } from "../../../storage/types.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import { foldSent } from "../fold/timeline.ts";
import type { Handed } from "../handoffs/handoff-ledger.ts";
import type { HandoffOutcome, MessageHandoff } from "../messages/handoff.ts";
import type { PendingSend, SendReply, SendRequest } from "./pending-send.ts";
import { settle, refuseAll, unknownFate } from "./settle-send.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";

const LOOK_BACK = 30;

/** The request is allowed, is no repeat, and the receiver exists. */
export function sendDirect(
  shard: Shard,
  sender: UserState,
  conversation: ConversationState,
  request: SendRequest,
  reply: SendReply,
): void {
  const sentAt = shard.clock.now();
  const rank = shard.ranks.direct(sentAt);
  const { log, nextSeq: seq } = sender;
  const prev = lastSent(shard, sender, conversation);
  const send = new DirectSend(shard, sender, conversation, request, reply, seq, prev, sentAt, rank);
  const savepoint = log.savepoint;
  log.append(send);
  try {
    send.isHandedOver = request.to === sender.address || shard.router.handOffAlong(conversation.shard, send, send);
  } catch (error) {
    log.rollBack(savepoint);
    throw error;
  }
  if (request.to !== sender.address) shard.ledger.add(send);
  conversation.sentPending = seq;
  sender.rankPending = rank;
  sender.nextSeq = (seq + 1) as Seq;
  sender.pendingSends.push(send);
  sender.bytesOnTheWay += send.textBytes;
}

/**
 * Seq of the last message that the user sent in this conversation, including those on their way; 0: none. Erased
 * messages do not count, since they are not handed over any more. If the cell does not say, the log is searched for
 * messages that may not be handed over yet: only those have to be named.
 */
function lastSent(shard: Shard, sender: UserState, conversation: ConversationState): Seq {
  if (conversation.sentPending !== undefined) return conversation.sentPending;
  const { log, address, nextSeq } = sender;
  return lastSentBefore(log, address, conversation.address, nextSeq, shard.ledger.through(log.durableThrough));
}

/**
 * Seq of the last message from `address` to `to` that is not erased, before `before` and behind the offset `after`; 0:
 * none.
 */
export function lastSentBefore(
  log: ShardLog,
  address: UserAddress,
  to: Address,
  before: Seq,
  after = 0 as Offset,
): Seq {
  for (;;) {
    const page = log.readLaneBackward(address, to, before, LOOK_BACK);
    for (const stored of page.reverse()) {
      if (stored.offset <= after) return 0 as Seq;
      if (readTimelineEntry(stored).kind === "sent") return stored.seq;
      before = stored.seq;
    }
    if (page.length < LOOK_BACK) return 0 as Seq;
  }
}

class DirectSend implements RecordSource, PendingSend, MessageHandoff, HandoffOutcome, Handed {
  readonly kind = "message";
  readonly #shard: Shard;
  readonly sender: UserState;
  readonly conversation: ConversationState;
  readonly reply: SendReply;
  readonly ref: string;
  readonly text: string;
  readonly seq: Seq;
  readonly prev: Seq;
  readonly sentAt: number;
  readonly rank: number;
  offset = 0 as Offset;
  textBytes = 0;
  repeats: SendReply[] | undefined = undefined;
  /** True also if there is no receiver to hand it over to. */
  isHandedOver = false;
  #id: string | undefined;
  readonly #ids: IdBatch;
  readonly #idAt: number;
  #textJson: string | undefined;

  constructor(
    shard: Shard,
    sender: UserState,
    conversation: ConversationState,
    request: SendRequest,
    reply: SendReply,
    seq: Seq,
    prev: Seq,
    sentAt: number,
    rank: number,
  ) {
    this.#shard = shard;
    this.sender = sender;
    this.conversation = conversation;
    this.reply = reply;
    this.ref = request.ref;
    this.text = request.text;
    this.seq = seq;
    this.prev = prev;
    this.sentAt = sentAt;
    this.rank = rank;
    this.#ids = shard.ids.gathering;
    this.#idAt = this.#ids.add(sender.log.shard, sender.handle.streamNo, seq);
  }

  get stream(): UserState["address"] {
    return this.sender.address;
  }

  get from(): UserState["address"] {
    return this.sender.address;
  }

  get to(): UserState["address"] {
    return this.conversation.address as UserState["address"];
  }

  get receiver(): UserId {
    return this.conversation.peer;
  }

  get streamNo(): number {
    return this.sender.handle.streamNo;
  }

  /** From the stream and seq of its place; encrypted at first use, here or at the receiver. */
  get id(): string {
    return (this.#id ??= this.#ids.id(this.#idAt));
  }

  get textJson(): string {
    return (this.#textJson ??= jsonString(this.text));
  }

  encode(): void {
    const { sender, to, ref, seq, text } = this;
    const { log } = sender;
    this.offset = log.nextOffset;
    log.beginEntry(sender.handle, to, ref, seq, payloadBytesMax(text));
    this.textBytes = writeSent(log.writer, this.sentAt, text, this.rank);
    log.endEntry();
  }

  committed(): void {
    const { sender } = this;
    foldSent(sender, this.conversation, this.seq, this.rank, this.textBytes);
    settle(sender, this, this.reply, this);
    if (!this.isHandedOver) this.#handOff();
    if (this.#hasOtherDevices) this.#tellOtherDevices();
  }

  failed(error: Error): void {
    refuseAll(this, this.reply, unknownFate(error));
  }

  // ---- the handoff

  #handOff(): void {
    this.isHandedOver = true;
    try {
      this.#shard.router.handOff(this.conversation.shard, this, this);
    } catch {
      this.notTaken();
    }
  }

  get isConfirmed(): boolean {
    return this.conversation.confirmedThrough >= this.seq;
  }

  confirmed(through: Seq): void {
    if (through > this.conversation.confirmedThrough) this.conversation.confirmedThrough = through;
  }

  missing(): void {
    this.#shard.offerSoon();
  }

  notTaken(): void {
    this.#shard.offerSoon();
  }

  /** Not by their number alone: the device that sent may have disconnected meanwhile. */
  get #hasOtherDevices(): boolean {
    const { sessions } = this.sender;
    return (
      sessions.length > 1 ||
      (sessions.length === 1 && (this.reply.session === undefined || !sessions.includes(this.reply.session)))
    );
  }

  #tellOtherDevices(): void {
    const { sender, id, to, seq, sentAt } = this;
    const frame = messageFrame(id, to, sender.user, this.textJson, seq, sentAt, jsonString(this.ref));
    for (const session of sender.sessions) if (session !== this.reply.session) session.entry("timeline", seq, frame);
  }
}
