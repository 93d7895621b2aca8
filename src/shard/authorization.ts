/**
 * Who may do what. Only who has been in a group is told that they are not in it any more, or that it is over; to everybody else a group of others is none, and so it is to
 * those who were in a former life of it. A group that is over is no address any more, to anybody.
 */
import { AppError } from "../base/errors.ts";
import type { GroupAddress, UserId } from "../domain/address.ts";
import type { Seq } from "../../storage/types.ts";
import type { GroupMirror } from "./group-mirror.ts";
import type { GroupState } from "./group-state.ts";

/** `knownThrough`: what the user's timeline says last of the group, in the group's numbering; 0: nothing. */
export type Viewer = { readonly user: UserId; readonly knownThrough: Seq };

/** @throws AppError unknown_address or not_a_member */
export function mustBeMember<Group extends GroupMirror>(
  group: Group | undefined,
  address: GroupAddress,
  { user, knownThrough }: Viewer,
): Group {
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
