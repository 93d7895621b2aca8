/**
 * Who may do what. Only who has been in a group is told that they are not in it any more, or that it is over; to everybody else a group of others is none, and so it is to
 * those who were in a former life of it. A group that is over is no address any more, to anybody.
 */
import { AppError } from "../base/errors.ts";
import type { Steps } from "../base/steps.ts";
import type { GroupAddress, UserId } from "../domain/address.ts";
import type { Seq } from "../../storage/types.ts";
import type { GroupHead } from "./group-heads.ts";
import type { GroupState } from "./group-state.ts";
import type { Shard } from "./shard.ts";
import type { UserState } from "./user-state.ts";

/** A user, and what their timeline says of a group. */
export type Viewer = {
  readonly user: UserId;
  /** What it says last, in the group's numbering; 0: nothing. */
  readonly knownThrough: Seq;
  /** Where the user joined it; 0: is not in it. */
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
 * Where the group stands, for a member. A group that is not loaded stays so for those whose timeline says that they are in it: nobody has left it just now.
 * @throws AppError unknown_address or not_a_member
 */
export function* memberGroupHead(shard: Shard, address: GroupAddress, viewer: Viewer): Steps<GroupHead> {
  const head = shard.groups.peek(address) === undefined && viewer.joinedSeq > 0 ? shard.heads.of(address) : undefined;
  if (head !== undefined && viewer.joinedSeq >= head.bornSeq) return head;
  return yield* memberGroup(shard, address, viewer);
}

/** @throws AppError unknown_address or not_a_member */
export function mustBeMember(
  group: GroupState | undefined,
  address: GroupAddress,
  { user, knownThrough }: Pick<Viewer, "user" | "knownThrough">,
): GroupState {
  if (group?.members.has(user) === true) return group;
  if (group === undefined || knownThrough < group.bornSeq) throw unknownGroup(address);
  if (group.isDissolved) throw new AppError("unknown_address", `${address}: it was dissolved`);
  if (group.isOver) throw new AppError("unknown_address", `${address}: everybody has left it`);
  throw notAMember(address);
}

/** Nothing is numbered behind the end of a group, or behind the leaving of its author. @throws AppError unknown_address or not_a_member */
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

export const unknownGroup = (address: GroupAddress): AppError =>
  new AppError("unknown_address", `${address}: there is no such group`);

export const notAMember = (address: GroupAddress): AppError =>
  new AppError("not_a_member", `${address}: you are not in it`);
