/**
 * A change of a group, at the group's shard: permissions are decided here, in the group's turn.
 *
 * A call that is repeated under its name gets the same answer (answered-calls.ts). After a restart it is done anew,
 * which is harmless:
 * - `settings`, `putMember` and `comeBack`: if it is so already, it is answered as done.
 * - `dissolve`: the group is over, and that is the answer.
 * - `removeMember`: the answer is that the user is not in the group; a user who has left is told that they are not in
 *   it.
 *
 * If another member changed the same thing in between, the repeated call wins, as if the caller had made it once more.
 */
import type { Steps } from "../../base/steps.ts";
import { answered } from "../../base/steps.ts";
import { userAddress, type GroupAddress, type UserId } from "../../domain/address.ts";
import { askEach } from "./ask-each.ts";
import {
  hasLeft,
  heirOf,
  mustBeAdmin,
  mustBeInGroup,
  mustBeMember,
  mustFit,
  mustLeaveAnAdmin,
  mustNotHaveLeft,
  unknownGroup,
  type Viewer,
} from "../authorization.ts";
import { changing } from "../groups/group-changes.ts";
import type { GroupState } from "../state/group-state.ts";
import { lastMembershipChange } from "../handoffs/last-membership-change.ts";
import type { Answers, GroupChanged, GroupWish, Questions } from "../messages/ask.ts";
import type { Shard } from "../shard.ts";
import { describeGroup } from "./answer-group.ts";

type WishOf<Kind extends GroupWish["kind"]> = Extract<GroupWish, { kind: Kind }>;

const DONE: GroupChanged = { isKeptAnew: false, isAdded: false };

/** @throws AppError the refusal of the change */
export function* answerChangeGroup(shard: Shard, question: Questions["changeGroup"]): Steps<Answers["changeGroup"]> {
  const { group: address, call, wish } = question;
  const changed = yield* shard.groupCalls.once(call, () => change(shard, question));
  if (wish.kind !== "settings") return changed;
  const group = yield* shard.groups.steps(address);
  return { ...changed, group: group && describeGroup(group) };
}

function* change(shard: Shard, { group: address, by, wish }: Questions["changeGroup"]): Steps<GroupChanged> {
  // A caller without permission does not wait for a turn.
  yield* mayAsk(shard, address, by, wish, yield* shard.groups.steps(address));
  return yield* shard.groupTurns.run(address, function* () {
    shard.mustAcceptWrites();
    const group = yield* mayAsk(shard, address, by, wish, yield* shard.groups.steps(address));
    return yield* group.kept(changeInTurn(shard, group, by, wish));
  });
}

/** @throws AppError unknown_address or not_a_member */
function* mayAsk(
  shard: Shard,
  address: GroupAddress,
  by: Viewer,
  wish: GroupWish,
  found: GroupState | undefined,
): Steps<GroupState> {
  const isComing = wish.kind === "comeBack" || (wish.kind === "putMember" && wish.user === by.user);
  if (!isComing || found === undefined || found.isOver || found.members.has(by.user))
    return mustBeMember(found, address, by);
  const leftAt = yield* found.kept(lastMembershipChange(shard, found, by));
  if (hasLeft(found, by.user, leftAt)) return found;
  mustBeMember(found, address, by);
  // A stranger does not learn whether there is such a group.
  throw unknownGroup(address);
}

function* changeInTurn(shard: Shard, group: GroupState, { user: by }: Viewer, wish: GroupWish): Steps<GroupChanged> {
  if (!group.members.has(by)) return yield* comeBack(shard, group, by);
  switch (wish.kind) {
    case "settings":
      return yield* set(shard, group, by, wish);
    case "dissolve":
      return yield* dissolve(shard, group, by);
    case "putMember":
      return yield* putMember(shard, group, by, wish);
    case "removeMember":
      return yield* removeMember(shard, group, by, wish);
    case "comeBack":
      return DONE;
  }
}

function* set(
  shard: Shard,
  group: GroupState,
  by: UserId,
  { name, keepDays }: WishOf<"settings">,
): Steps<GroupChanged> {
  mustBeAdmin(group, by);
  const at = shard.clock.now();
  if (name !== undefined && group.name !== name) yield* changing(shard, group, { change: "renamed", by, at, name });
  const isKeptAnew = keepDays !== undefined && group.keepDays !== keepDays;
  if (isKeptAnew)
    yield* changing(shard, group, { change: "retention", by, at, keepDays: keepDays === 0 ? null : keepDays });
  return { ...DONE, isKeptAnew };
}

/** Each member gets a handoff. If one member's shard cannot be asked, the group is not dissolved. */
function* dissolve(shard: Shard, group: GroupState, by: UserId): Steps<GroupChanged> {
  mustBeAdmin(group, by);
  const members = [...group.members.keys()];
  yield* askEach(members, (user) => shard.router.ask("user", userAddress(user), { user: userAddress(user) }));
  shard.mustAcceptWrites();
  const at = shard.clock.now();
  yield* changing(shard, group, { change: "dissolved", by, at, members });
  return DONE;
}

function* putMember(
  shard: Shard,
  group: GroupState,
  by: UserId,
  { user, role }: WishOf<"putMember">,
): Steps<GroupChanged> {
  mustBeAdmin(group, by);
  const member = group.members.get(user);
  if (member?.role === role) return DONE;
  if (member === undefined) return yield* join(shard, group, by, user, role);
  if (role === "member") mustLeaveAnAdmin(group, user);
  const at = shard.clock.now();
  yield* changing(shard, group, { change: "role", by, at, user, role });
  return DONE;
}

const comeBack = (shard: Shard, group: GroupState, user: UserId): Steps<GroupChanged> =>
  join(shard, group, user, user, "member");

function* join(
  shard: Shard,
  group: GroupState,
  by: UserId,
  user: UserId,
  role: "admin" | "member",
): Steps<GroupChanged> {
  mustFit(shard.limits, group.members.size + 1);
  const question = { user, group: group.address, isOwnDoing: by === user };
  const { knownThrough } = yield* answered(shard.router.ask("mayJoin", userAddress(user), question));
  const leftAt = yield* lastMembershipChange(shard, group, { user, knownThrough });
  if (by !== user) mustNotHaveLeft(group, user, leftAt);
  shard.mustAcceptWrites();
  const at = shard.clock.now();
  yield* changing(shard, group, { change: "joined", by, at, user, role });
  return { ...DONE, isAdded: true };
}

function* removeMember(
  shard: Shard,
  group: GroupState,
  by: UserId,
  { user }: WishOf<"removeMember">,
): Steps<GroupChanged> {
  if (by !== user) mustBeAdmin(group, by);
  mustBeInGroup(group, user);
  yield* answered(shard.router.ask("user", userAddress(user), { user: userAddress(user) }));
  shard.mustAcceptWrites();
  const at = shard.clock.now();
  const heir = heirOf(group, user);
  if (heir !== undefined) yield* changing(shard, group, { change: "role", by, at, user: heir, role: "admin" });
  yield* changing(shard, group, { change: "left", by, at, user });
  return DONE;
}
