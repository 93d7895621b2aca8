/** Accepts a direct message that was handed over into its receiver's timeline (G8). */
import { payloadBytesMax, writeTaken } from "../../domain/entries.ts";
import { messageFrame } from "../../protocol/encode.ts";
import type { RecordSource } from "../../../storage/shard/staged-record.ts";
import type { Seq } from "../../../storage/types.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import { foldTaken } from "../fold/timeline.ts";
import type { HandoffOutcome, MessageHandoff } from "../messages/handoff.ts";
import type { Shard } from "../shard.ts";
import { EarlyMessages } from "./early-messages.ts";
import type { UserState } from "../state/user-state.ts";

/**
 * Accepts the message if it follows the sender's last one here, and then those that waited for it. Otherwise it waits,
 * and the reply is the last one.
 */
export function takeMessage(
  shard: Pick<Shard, "ranks">,
  receiver: UserState,
  handoff: MessageHandoff,
  outcome: HandoffOutcome,
): void {
  const { seq: fromSeq } = handoff;
  const conversation = receiver.conversation(handoff.from);
  const { takenThroughPending } = conversation;
  if (fromSeq <= takenThroughPending) {
    // If it is on its way to the log, it is confirmed when it is durable.
    if (fromSeq <= conversation.takenThrough) outcome.confirmed(conversation.takenThrough);
    return;
  }
  if (handoff.prev > takenThroughPending) {
    (conversation.early ??= new EarlyMessages()).hold(handoff, outcome);
    return outcome.missing(takenThroughPending);
  }
  append(shard, receiver, conversation, handoff, outcome);
  if (conversation.early !== undefined) appendEarly(shard, receiver, conversation, conversation.early);
}

function appendEarly(
  shard: Pick<Shard, "ranks">,
  receiver: UserState,
  conversation: ConversationState,
  early: EarlyMessages,
): void {
  for (;;) {
    const next = early.releasedBy(conversation.takenThroughPending);
    if (next === undefined) break;
    try {
      append(shard, receiver, conversation, next.handoff, next.outcome);
    } catch (error) {
      // It is not the caller's message.
      next.outcome.notTaken(error);
      break;
    }
  }
  if (early.isEmpty) conversation.early = undefined;
}

function append(
  { ranks }: Pick<Shard, "ranks">,
  receiver: UserState,
  conversation: ConversationState,
  handoff: MessageHandoff,
  outcome: HandoffOutcome,
): void {
  const seq = receiver.nextSeq;
  const ordinal = conversation.incomingPending + 1;
  // A late message keeps the rank of its sending, unless ranks of this timeline would fall: they never do.
  const rank = Math.max(handoff.rank, receiver.rankPending);
  ranks.handedOver(rank);
  receiver.log.append(new DirectTake(receiver, conversation, handoff, outcome, seq, ordinal, rank));
  receiver.rankPending = rank;
  receiver.nextSeq = (seq + 1) as Seq;
  conversation.takenThroughPending = handoff.seq;
  conversation.incomingPending = ordinal;
}

class DirectTake implements RecordSource {
  readonly receiver: UserState;
  readonly conversation: ConversationState;
  readonly handoff: MessageHandoff;
  readonly outcome: HandoffOutcome;
  readonly seq: Seq;
  readonly ordinal: number;
  readonly rank: number;

  constructor(
    receiver: UserState,
    conversation: ConversationState,
    handoff: MessageHandoff,
    outcome: HandoffOutcome,
    seq: Seq,
    ordinal: number,
    rank: number,
  ) {
    this.receiver = receiver;
    this.conversation = conversation;
    this.handoff = handoff;
    this.outcome = outcome;
    this.seq = seq;
    this.ordinal = ordinal;
    this.rank = rank;
  }

  encode(): void {
    const { receiver, handoff } = this;
    const { log } = receiver;
    log.beginEntry(receiver.handle, this.conversation.address, "", this.seq, payloadBytesMax(handoff.text));
    const { sentAt, text, seq: fromSeq, streamNo } = handoff;
    writeTaken(log.writer, sentAt, fromSeq, streamNo, this.ordinal, text, this.rank);
    log.endEntry();
  }

  committed(): void {
    const { receiver, conversation, handoff, seq } = this;
    const { seq: fromSeq } = handoff;
    foldTaken(receiver, conversation, seq, this.rank, fromSeq, this.ordinal);
    receiver.undelivered.push({ seq, conversation, fromSeq });
    this.outcome.confirmed(fromSeq);
    if (receiver.sessions.length === 0) return;
    const { address, peer } = conversation;
    const frame = messageFrame(handoff.id, address, peer, handoff.textJson, seq, handoff.sentAt);
    for (const session of receiver.sessions) session.entry("timeline", seq, frame);
  }

  failed(error: Error): void {
    this.outcome.notTaken(error);
  }
}
