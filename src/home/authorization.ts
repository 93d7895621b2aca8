/**
 * Permissions in groups, and what a refusal reveals. Only a former member of the group's present life is told that they
 * are not in it any more, or that it is over. For all others, also for members of a former life, a group of others does
 * not exist. A group that is over is no address for anybody.
 */
import { AppError } from "../base/errors.ts";
import type { Steps } from "../base/steps.ts";
import { userAddress, type GroupAddress, type UserId } from "../domain/address.ts";
import { readGroupEntry } from "../domain/entries.ts";
import type { Limits } from "../protocol/frames.ts";
import type { Seq } from "../../storage/types.ts";
import type { GroupHead } from "./groups/group-heads.ts";
import type { GroupMirror } from "./group-mirror.ts";
import type { GroupState } from "./state/group-state.ts";
import type { Shard } from "./shard.ts";
import type { UserState } from "./state/user-state.ts";

/** A user, and what their timeline says of a group. */
export type Viewer = {
  readonly user: UserId;
  /** Seq of the last change of the group in the timeline, in the group's numbering; 0: none. */
  readonly knownThrough: Seq;
  /** Where the user joined; 0: no member. */
  readonly joinedSeq: Seq;
};

export function viewerOf({ user, conversations }: UserState, group: GroupAddress): Viewer {
  const { takenThrough, joinedSeq } = conversations.get(group) ?? NOTHING;
  return { user, knownThrough: takenThrough, joinedSeq };
}

const NOTHING = { takenThrough: 0 as Seq, joinedSeq: 0 as Seq };

/** The group, for a member. @throws AppError unknown_address or not_a_member */
export function* memberGroup(shard: Shard, address: GroupAddress, viewer: Viewer): Steps<GroupState> {
  return mustBeMember(shard.groups.peek(address) ?? (yield* shard.groups.steps(address)), address, viewer);
}

/**
 * The group's head, for a member. A group that is not loaded is not loaded if the user's timeline says that they are a
 * member: then nobody has left it just now. A user who left and came back, and whose timeline does not know it yet,
 * counts as no member: their devices are told of the present membership first.
 * @throws AppError unknown_address or not_a_member
 */
export function* memberGroupHead(shard: Shard, address: GroupAddress, viewer: Viewer): Steps<GroupHead> {
  const { user, joinedSeq } = viewer;
  const head = shard.groups.peek(address) === undefined && joinedSeq > 0 ? shard.heads.of(address) : undefined;
  if (head !== undefined && joinedSeq >= head.bornSeq) return head;
  const group = yield* memberGroup(shard, address, viewer);
  if (joinedSeq > 0 && group.members.get(user)!.joinedSeq !== joinedSeq) throw notAMember(address);
  return group;
}

/** @throws AppError unknown_address or not_a_member */
export function mustBeMember(
  group: GroupState | undefined,
  address: GroupAddress,
  { user, knownThrough }: Pick<Viewer, "user" | "knownThrough">,
): GroupState {
  if (group?.members.has(user) === true) return group;
  if (group === undefined || knownThrough < group.bornSeq) throw unknownGroup(address);
  if (group.isDissolved) throw new AppError("unknown_address", `${address}: the group was dissolved`);
  if (group.isOver) throw new AppError("unknown_address", `${address}: all members have left the group`);
  throw notAMember(address);
}

/** For marks: the same refusal whether the group exists or not. @throws AppError not_a_member */
export function mustBeIn(group: GroupMirror | undefined, address: GroupAddress, user: UserId): GroupMirror {
  if (group?.hasMember(user) === true) return group;
  throw notAMember(address);
}

/**
 * Refuses posts behind the end of a group, or behind the leaving of their author. @throws AppError unknown_address or
 * not_a_member
 */
export function mustBeAbleToPost(
  found: GroupState | undefined,
  address: GroupAddress,
  { author, knownThrough }: { readonly author: UserId; readonly knownThrough: Seq },
): GroupState {
  const group = mustBeMember(found, address, { user: author, knownThrough });
  if (group.isEnding) throw unknownGroup(address);
  if (group.leaving.has(author)) throw notAMember(address);
  return group;
}

/** An id is taken while a group of that id has members. @throws AppError group_taken */
export function mustBeFree(found: GroupState | undefined, address: GroupAddress): void {
  if (found?.isOver === false) throw new AppError("group_taken", `${address} is taken; choose another id`);
}

/** @throws AppError forbidden */
export function mustBeAdmin(group: GroupState, user: UserId): void {
  if (!group.isAdmin(user)) throw new AppError("forbidden", `only an admin of ${group.address} may do that`);
}

/** Without this user the group must still have an admin. @throws AppError forbidden */
export function mustLeaveAnAdmin(group: GroupState, user: UserId): void {
  for (const [member, { role }] of group.members) if (member !== user && role === "admin") return;
  throw new AppError("forbidden", `${userAddress(user)} is the last admin of ${group.address}; make another one first`);
}

/** For a user who is to be removed. @throws AppError not_found */
export function mustBeInGroup(group: GroupState, user: UserId): void {
  if (!group.members.has(user)) throw new AppError("not_found", `${userAddress(user)} is not in ${group.address}`);
}

/** @param size of the group after the change. @throws AppError too_large */
export function mustFit({ groupMembersMax }: Limits, size: number): void {
  if (size > groupMembersMax) throw new AppError("too_large", `members: ${size}, the most is ${groupMembersMax}`);
}

/** Only the user who has left can come back; others cannot add them. @throws AppError forbidden */
export function mustNotHaveLeft(group: GroupState, user: UserId, leftAt: Seq): void {
  if (hasLeft(group, user, leftAt))
    throw new AppError("forbidden", `${userAddress(user)} has left ${group.address}; only they can come back`);
}

/**
 * Whether the user, who is no member, left in the present life of the group, and was not removed by another.
 * @param leftAt seq of the user's last change of membership; 0: none
 */
export function hasLeft(group: GroupState, user: UserId, leftAt: Seq): boolean {
  if (leftAt < group.bornSeq) return false;
  const [stored] = group.log.readForward(group.address, (leftAt - 1) as Seq, 1);
  const entry = stored && readGroupEntry(stored);
  return entry?.kind === "changed" && entry.detail.change === "left" && entry.detail.by === user;
}

/**
 * When the last admin leaves, the member who joined longest ago becomes admin. Undefined if the group has another
 * admin, or no other member.
 */
export function heirOf(group: GroupState, leaving: UserId): UserId | undefined {
  const others = [...group.members].filter(([user]) => user !== leaving);
  if (others.length === 0 || others.some(([, member]) => member.role === "admin")) return undefined;
  others.sort(([a, one], [b, other]) => one.joinedSeq - other.joinedSeq || (a < b ? -1 : 1));
  return others[0]![0];
}

export const unknownGroup = (address: GroupAddress): AppError =>
  new AppError("unknown_address", `${address}: there is no such group`);

export const notAMember = (address: GroupAddress): AppError =>
  new AppError("not_a_member", `${address}: you are not in this group`);

/** Whether the group's shard said that the user is no member. */
export const isNotMember = (error: unknown): boolean =>
  error instanceof AppError && (error.code === "not_a_member" || error.code === "unknown_address");
