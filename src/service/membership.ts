/** Who may change a group. What is not the user's is answered alike whether it exists or not. */
import { AppError } from "../base/errors.ts";
import type { Steps } from "../base/steps.ts";
import type { GroupAddress } from "../domain/address.ts";
import type { GroupState } from "../shard/group-state.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { UserState } from "../shard/user-state.ts";
import { payForStrange } from "./addresses.ts";

/**
 * The group, for a member. Only who has been in it is told that they are not in it any more, or that it is over; to everybody else a group of
 * others is none, and so it is to those who were in a former life of it. A group that is over is no address any more, to anybody.
 * @throws AppError unknown_address or not_a_member
 */
export function memberGroup(host: ShardHost, user: UserState, address: GroupAddress): GroupState {
  return mustBeIn(host.groups.get(address), user, address);
}

/** The same of a group that was looked up, which may not be there. */
function mustBeIn(group: GroupState | undefined, user: UserState, address: GroupAddress): GroupState {
  if (group?.members.has(user.user) === true) return group;
  const lastSeq = user.conversations.get(address)?.takenThrough ?? 0;
  if (group === undefined || lastSeq < group.bornSeq) throw unknownGroup(address);
  if (group.isDissolved) throw new AppError("unknown_address", `${address}: it was dissolved`);
  if (group.isOver) throw new AppError("unknown_address", `${address}: everybody has left it`);
  throw new AppError("not_a_member", `${address}: you are not in it`);
}

/** The same for somebody who only looks: a look at what is not theirs costs as much as a message to it. */
export function* visibleGroup(host: ShardHost, user: UserState, address: GroupAddress): Steps<GroupState> {
  payForStrange(host.home(user.user), user, address);
  yield* host.groups.steps(address);
  return memberGroup(host, user, address);
}

export const unknownGroup = (address: GroupAddress): AppError =>
  new AppError("unknown_address", `${address}: there is no such group`);
