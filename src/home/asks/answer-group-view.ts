import type { Steps } from "../../base/steps.ts";
import type { UserId } from "../../domain/address.ts";
import { memberGroup, mustBeMember } from "../authorization.ts";
import type { GroupState } from "../state/group-state.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import { AnswerSize } from "../reading/answer-size.ts";
import { END, groupLane, newest } from "../reading/lanes.ts";
import type { Shard } from "../shard.ts";

export function* answerGroupView(
  shard: Shard,
  { group: address, viewer, read, messages, bytes }: Questions["groupView"],
): Steps<Answers["groupView"]> {
  const { user } = viewer;
  const size = new AnswerSize(bytes);
  const asked = yield* memberGroup(shard, address, viewer);
  const unread = yield* shard.groupUnread.count(asked, user, read, size);
  // Between two steps the user may have left, and the group may have been loaded anew.
  const group = mustBeMember(shard.groups.get(address), address, viewer);
  const { name, headSeq } = group;
  const others = othersMarks(group, user, shard.limits.groupReceiptsMembersMax);
  const found = newest(groupLane(shard, user, group), END, messages, size).messages;
  const cost = { bytes: size.bytes - bytes, looked: size.looked };
  return { name, unread, headSeq, ...others, messages: found, cost };
}

/** The highest marks of the other members; 0 in a group that is too large for marks. */
function othersMarks({ members, marks }: GroupState, self: UserId, membersMax: number) {
  let seen = 0;
  let delivered = 0;
  if (members.size > membersMax) return { seen, delivered };
  for (const member of members.keys()) {
    const theirs = member === self ? undefined : marks.get(member);
    if (theirs === undefined) continue;
    seen = Math.max(seen, theirs.seen);
    delivered = Math.max(delivered, theirs.delivered);
  }
  return { seen, delivered };
}
