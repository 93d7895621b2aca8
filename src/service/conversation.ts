/**
 * One conversation as a client sees it. Its numbers are worked out each time from what is durable at that moment, so
 * whatever changed under them (who is in the group, how large it is, what was erased) is in them: src/shard/README.md
 * has the table.
 */
import type { Steps } from "../base/steps.ts";
import { isGroup, type Address, type GroupAddress, type UserId } from "../domain/address.ts";
import type { Conversation } from "../protocol/http-shapes.ts";
import { ConversationState } from "../shard/conversation-state.ts";
import type { GroupState } from "../shard/group-state.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { UserState } from "../shard/user-state.ts";
import type { Seq } from "../../storage/types.ts";
import { displayName } from "./display-name.ts";
import type { GroupUnread } from "./group-unread.ts";
import type { AnswerSize } from "./answer-size.ts";
import { END, groupLane, laneOf, newest } from "./lanes.ts";
import { memberGroup, visibleGroup } from "./membership.ts";

/** @throws AppError unknown_address or not_a_member */
export function* describeConversation(
  host: ShardHost,
  unread: GroupUnread,
  user: UserState,
  address: Address,
  messages: number,
  size: AnswerSize,
): Steps<Conversation> {
  if (isGroup(address)) return yield* describeGroup(host, unread, user, address, messages, size);
  const lane = yield* laneOf(host, user, address);
  const {
    unread: count,
    lastSeq,
    seen,
    delivered,
    ownRead,
  } = user.conversations.get(address) ?? new ConversationState(address);
  return {
    conversation: address,
    name: displayName(host, address),
    unread: count,
    lastSeq,
    readThrough: seen,
    deliveredThrough: delivered,
    ownReadThrough: ownRead,
    messages: newest(lane, END, messages, size).messages,
  };
}

function* describeGroup(
  host: ShardHost,
  unread: GroupUnread,
  user: UserState,
  address: GroupAddress,
  messages: number,
  size: AnswerSize,
): Steps<Conversation> {
  const asked = yield* visibleGroup(host, user, address);
  const { joinedSeq, ownRead } = user.conversation(address);
  const read = Math.max(ownRead, joinedSeq) as Seq;
  const count = yield* unread.count(asked, user.user, read, size);
  // Between two steps the user may have left it.
  const group = memberGroup(host, user, address);
  const lane = groupLane(host, user, group);
  const others = othersMarks(group, user.user, host.limits.groupReceiptsMembersMax);
  return {
    conversation: address,
    name: group.name,
    unread: count,
    lastSeq: group.headSeq,
    readThrough: others.seen,
    deliveredThrough: others.delivered,
    ownReadThrough: ownRead,
    messages: newest(lane, END, messages, size).messages,
  };
}

/** How far the farthest of the other members is. 0 in a group that is too large for marks now. */
function othersMarks({ members, marks }: GroupState, self: UserId, membersMax: number) {
  const others = { seen: 0, delivered: 0 };
  if (members.size > membersMax) return others;
  for (const member of members.keys()) {
    const theirs = member === self ? undefined : marks.get(member);
    if (theirs === undefined) continue;
    others.seen = Math.max(others.seen, theirs.seen);
    others.delivered = Math.max(others.delivered, theirs.delivered);
  }
  return others;
}
