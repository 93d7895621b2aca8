/**
 * Derived cells: the result of folding the entries of a stream through a seq. Each is written by one function here and
 * read by the function after it. `cells.ts` draws the bytes; the states say when they are written.
 *
 * The caller has read the first field of `head`, the seq through which the derived cells count. Readers begin after it.
 */
import { isGroup, type UserId } from "../../domain/address.ts";
import { partsOfRank, rankOfTime } from "../../domain/rank.ts";
import type { Seq } from "../../../storage/types.ts";
import { encodeCell, type CellReader } from "../state/cells.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import type { GroupState, Member } from "../state/group-state.ts";
import type { UserState } from "../state/user-state.ts";

/** @param sentBytes as of when the record is durable */
export const userHeadCell = ({ headSeq, markCount, isSentCounted }: UserState, sentBytes: number): Uint8Array =>
  encodeCell(headSeq, markCount, isSentCounted ? sentBytes + 1 : 0);

export function readUserHead(user: UserState, fields: CellReader): void {
  user.markCount = fields.number();
  const sentBytes = fields.number();
  // A timeline that no derived cell counts is folded from its first entry on.
  user.isSentCounted = user.headSeq === 0 || sentBytes > 0;
  user.sentBytes = Math.max(0, sentBytes - 1);
}

export function conversationCell(conversation: ConversationState): Uint8Array {
  const { address, lastSeq, lastRank, incoming, takenThrough, takenSeq, joinedSeq, isPutIn } = conversation;
  if (joinedSeq > 0) return encodeCell(lastSeq, joinedSeq, 0, isPutIn ? 1 : 0);
  if (isGroup(address)) return encodeCell(lastSeq, 0, takenThrough);
  const { ms, count } = partsOfRank(lastRank);
  return encodeCell(
    lastSeq,
    ms,
    takenThrough,
    incoming,
    incoming === 0 ? 0 : lastSeq - takenSeq,
    count,
    sentField(conversation),
  );
}

export function readConversationCell(
  user: { lastRank: number },
  conversation: ConversationState,
  fields: CellReader,
): void {
  conversation.lastSeq = fields.number() as Seq;
  if (isGroup(conversation.address)) {
    conversation.joinedSeq = fields.number() as Seq;
    conversation.takenThrough = (fields.number() || conversation.joinedSeq) as Seq;
    conversation.isPutIn = conversation.joinedSeq > 0 && fields.number() === 1;
    return;
  }
  conversation.lastRank = rankOfTime(fields.number());
  conversation.takenThrough = Math.max(conversation.takenThrough, fields.number()) as Seq;
  conversation.incoming = fields.number();
  const behind = fields.number();
  conversation.takenSeq = (conversation.incoming === 0 ? 0 : conversation.lastSeq - behind) as Seq;
  conversation.lastRank += fields.number();
  if (conversation.lastRank > user.lastRank) user.lastRank = conversation.lastRank;
  const sent = fields.number();
  conversation.sentSeq = sent < 2 ? NOTHING_SENT[sent] : ((conversation.lastSeq - (sent - 2)) as Seq);
}

/** By field: 0 in a cell of a version that did not note it. */
const NOTHING_SENT = [undefined, 0 as Seq] as const;

function sentField({ sentSeq, lastSeq }: ConversationState): number {
  if (sentSeq === undefined) return 0;
  return sentSeq === 0 ? 1 : lastSeq - sentSeq + 2;
}

export function groupHeadCell(group: GroupState): Uint8Array {
  const { headSeq, createdAt, lastRank, isDissolved, name, authorBytes } = group;
  const { ms, count } = partsOfRank(lastRank);
  return encodeCell(headSeq, createdAt, ms, name, isDissolved ? 1 : 0, count, authorBytes.isCounted ? 1 : 0);
}

export function readGroupHead(group: GroupState, fields: CellReader): void {
  group.createdAt = fields.number();
  group.lastRank = rankOfTime(fields.number());
  group.name = fields.text();
  group.isDissolved = fields.number() === 1;
  group.lastRank += fields.number();
  group.authorBytes.isCounted = fields.number() === 1;
}

/** Null, which clears the cell, for a user who is no member. */
export const memberCell = (member: Member | undefined): Uint8Array | null =>
  member === undefined ? null : encodeCell(member.joinedSeq, member.role === "admin" ? 1 : 0);

export function readMemberCell({ members }: GroupState, user: UserId, fields: CellReader): void {
  const joinedSeq = fields.number() as Seq;
  members.set(user, { role: fields.number() === 1 ? "admin" : "member", joinedSeq });
}
