/**
 * How far the other side, or a member, has got and read: handed over, and taken where it is higher than what is known (G6). What has been taken is confirmed again.
 * A seq beyond what there is is not believed.
 */
import type { ConversationState } from "../state/conversation-state.ts";
import type { GroupState, MemberMarks } from "../state/group-state.ts";
import { PeerMark } from "../marks/mark-records.ts";
import { MemberMark } from "../marks/member-mark.ts";
import type { HandoffOutcome, MemberMarkHandoff, PeerMarkHandoff } from "../messages/handoff.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import type { Seq } from "../../../storage/types.ts";

/** @param user whose messages they are */
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

/** One that is on its way is confirmed when it is there. */
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

/** Marks of a former life, and of whoever is not a member, are none, and in a large group there are none. */
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
