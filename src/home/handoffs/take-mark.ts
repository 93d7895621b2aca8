/**
 * Accepts marks of the peer or of a member that are higher than the known ones (G6). Known marks are confirmed again. A
 * seq beyond the head counts as the head.
 */
import type { ConversationState } from "../state/conversation-state.ts";
import type { GroupState, MemberMarks } from "../state/group-state.ts";
import { PeerMark } from "../marks/mark-records.ts";
import { MemberMark } from "../marks/member-mark.ts";
import type { HandoffOutcome, MemberMarkHandoff, PeerMarkHandoff } from "../messages/handoff.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import type { Seq } from "../../../storage/types.ts";

/** @param user the author of the messages */
export function takePeerMark(
  { marks }: Pick<Shard, "marks">,
  user: UserState,
  handoff: PeerMarkHandoff,
  outcome: HandoffOutcome,
): void {
  const conversation = user.conversations.get(handoff.from);
  if (conversation === undefined) return outcome.confirmed(handoff.delivered, handoff.read);
  const delivered = Math.min(handoff.delivered, user.nextSeq - 1) as Seq;
  const read = Math.min(handoff.read, user.nextSeq - 1) as Seq;
  if (delivered <= conversation.deliveredPending && read <= conversation.seenPending)
    return confirmPeer(conversation, delivered, read, handoff, outcome);
  if (conversation.peerMark === undefined) marks.gather(new PeerMark(user, conversation));
  conversation.peerMark!.take(handoff, outcome);
  if (delivered > conversation.deliveredPending) conversation.deliveredPending = delivered;
  if (read > conversation.seenPending) conversation.seenPending = read;
}

/** A mark that is on its way to the log is confirmed when it is durable. */
function confirmPeer(
  conversation: ConversationState,
  delivered: Seq,
  read: Seq,
  handoff: PeerMarkHandoff,
  outcome: HandoffOutcome,
): void {
  if (delivered <= conversation.delivered && read <= conversation.seen)
    outcome.confirmed(handoff.delivered, handoff.read);
  else conversation.peerMark?.take(handoff, outcome);
}

/** Marks of a former life or of a user who is no member are ignored, and so are marks in a large group. */
export function takeMemberMark(
  shard: Pick<Shard, "marks" | "limits" | "router">,
  group: GroupState,
  handoff: MemberMarkHandoff,
  outcome: HandoffOutcome,
): void {
  const { user, epoch } = handoff;
  const isSmall = group.members.size <= shard.limits.groupReceiptsMembersMax;
  if (epoch !== group.epoch || !isSmall || !group.members.has(user))
    return outcome.confirmed(handoff.delivered, handoff.read);
  const delivered = inLife(group, handoff.delivered);
  const read = inLife(group, handoff.read);
  const marks = group.marksOf(user);
  if (delivered <= marks.deliveredPending && read <= marks.seenPending)
    return confirmMember(marks, delivered, read, handoff, outcome);
  if (marks.gathered === undefined) shard.marks.gather(new MemberMark(shard.router, group, user));
  marks.gathered!.take(handoff, outcome);
  if (delivered > marks.deliveredPending) marks.deliveredPending = delivered;
  if (read > marks.seenPending) marks.seenPending = read;
}

function confirmMember(
  marks: MemberMarks,
  delivered: Seq,
  read: Seq,
  handoff: MemberMarkHandoff,
  outcome: HandoffOutcome,
): void {
  if (delivered <= marks.delivered && read <= marks.seen) outcome.confirmed(handoff.delivered, handoff.read);
  else marks.gathered?.take(handoff, outcome);
}

function inLife({ bornSeq, nextSeq }: GroupState, seq: Seq): Seq {
  return (seq < bornSeq ? 0 : Math.min(seq, nextSeq - 1)) as Seq;
}
