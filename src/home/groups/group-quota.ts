/**
 * How many groups a user is in. Memberships that the user asked for and those that others made have separate bounds, so
 * that nobody can use up another user's room. A user asks for a membership by creating the group or coming back to it.
 * Posting turns a membership that others made into an own one. Memberships on their way count.
 */
import { AppError } from "../../base/errors.ts";
import { isGroup } from "../../domain/address.ts";
import { GROUPS_PER_USER_MAX, UNASKED_GROUPS_PER_USER_MAX } from "../../domain/limits.ts";
import type { UserState } from "../state/user-state.ts";

/**
 * Only the user is told the number of their groups.
 * @param isOwnDoing whether the user asks for the membership
 * @throws AppError quota_exceeded
 */
export function assertRoomForGroup(user: UserState, isOwnDoing: boolean): void {
  const { own, unasked } = countGroups(user);
  if (!isOwnDoing) {
    if (unasked < UNASKED_GROUPS_PER_USER_MAX) return;
    throw new AppError("quota_exceeded", `${user.address} cannot be added to more groups now`);
  }
  if (own < GROUPS_PER_USER_MAX) return;
  throw new AppError(
    "quota_exceeded",
    `${user.address} is in ${own} groups of their own, the most is ${GROUPS_PER_USER_MAX}; leave one first`,
  );
}

export const hasRoomForOwnGroup = (user: UserState): boolean => countGroups(user).own < GROUPS_PER_USER_MAX;

function countGroups(user: UserState): { own: number; unasked: number } {
  const counts = { own: 0, unasked: 0 };
  for (const conversation of user.conversations.values()) {
    const { address, joinedSeq, takenThrough, takenThroughPending } = conversation;
    if (!isGroup(address) || (joinedSeq === 0 && takenThroughPending === takenThrough)) continue;
    if (conversation.isUnasked) counts.unasked++;
    else counts.own++;
  }
  return counts;
}
