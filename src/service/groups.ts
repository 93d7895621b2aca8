/** Groups: who may change what. The changes themselves are src/shard/group-changes.ts. */
import { AppError } from "../base/errors.ts";
import type { Steps } from "../base/steps.ts";
import type { Random } from "../base/random.ts";
import { randomName } from "../base/random.ts";
import {
  groupAddress,
  nameOf,
  shardOf,
  userAddress,
  type GroupAddress,
  type GroupId,
  type UserId,
} from "../domain/address.ts";
import { readGroupEntry, type GroupChangeDetail } from "../domain/entries.ts";
import type { GroupRole } from "../protocol/frames.ts";
import type { Group } from "../protocol/http-shapes.ts";
import { changeGroup, createGroup } from "../shard/group-changes.ts";
import { assertRoomForGroup } from "../shard/group-quota.ts";
import type { GroupState } from "../shard/group-state.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { UserState } from "../shard/user-state.ts";
import type { Seq } from "../../storage/types.ts";
import { actingUser } from "./acting-user.ts";
import type { GroupAdditions } from "./group-additions.ts";
import { loadUsers } from "./loading.ts";
import { memberGroup, unknownGroup, visibleGroup } from "./membership.ts";
import { takeSendTokens } from "./send-tokens.ts";
import type { Actor, Groups } from "./types.ts";

const EPOCH_CHARACTERS = 8;
const DRAWS_MAX = 1000;
const GROUP_ID_CHARACTERS = 12;

/**
 * @param additions how often somebody may put others into groups
 * @param onRetention told when a group has set how long its messages are kept
 */
export function createGroups(
  host: () => ShardHost,
  random: Random,
  additions: GroupAdditions,
  onRetention: (address: GroupAddress) => void = () => {},
): Groups {
  const creating = new Set<GroupAddress>();

  /** Of a shard that is whole, if there is one. */
  function drawAddress(shards: ShardHost): GroupAddress {
    for (let tries = 1; ; tries++) {
      const address = groupAddress(randomName(random, GROUP_ID_CHARACTERS) as GroupId);
      if (tries === DRAWS_MAX || !shards.store.isDamaged(shardOf(address))) return address;
    }
  }

  async function create(actor: Actor, input: { id?: GroupId; name: string; members: UserId[] }): Promise<Group> {
    const shards = host();
    const creator = actingUser(shards, actor);
    const members = [...new Set([actor.user, ...input.members])];
    assertGroupSize(shards, members.length);
    shards.mustTakeWrites();
    takeSendTokens(shards.home(actor.user), creator, 1 + members.length);
    const address = input.id === undefined ? drawAddress(shards) : groupAddress(input.id);
    await shards.turns.run(begin(shards, address, members));
    try {
      // Loading may have taken long.
      shards.mustTakeWrites();
      for (const user of members) assertRoomForGroup(existingUser(shards, user), user === actor.user);
      additions.take(actor.user, members);
      const epoch = randomName(random, EPOCH_CHARACTERS);
      const detail: GroupChangeDetail = {
        change: "created",
        by: actor.user,
        at: shards.clock.now(),
        name: input.name,
        members,
      };
      const former = shards.groups.get(address);
      const group = await (former === undefined
        ? createGroup(shards, address, epoch, detail)
        : // Whoever still waits to change the former one finds it over.
          waitTurn(former, () => createGroup(shards, address, epoch, detail)));
      return describeGroup(group);
    } finally {
      creating.delete(address);
    }
  }

  /** In the step in which it ends nobody else begins the group, and all members are loaded. */
  function* begin(shards: ShardHost, address: GroupAddress, members: UserId[]): Steps<void> {
    yield* loadUsers(shards, members);
    const known = yield* shards.groups.steps(address);
    if (creating.has(address) || known?.isOver === false)
      throw new AppError("group_taken", `${address} is taken; choose another id`);
    creating.add(address);
  }

  return {
    create,
    async get(actor, address) {
      const shards = host();
      return describeGroup(await shards.turns.run(visibleGroup(shards, actingUser(shards, actor), address)));
    },
    change: (actor, address, { name, keepDays }) =>
      inTurn(host(), actor, address, async (shards, group) => {
        assertAdmin(group, actor.user);
        const change = { by: actor.user, at: shards.clock.now() };
        if (name !== undefined && group.name !== name)
          await changeGroup(shards, group, { change: "renamed", ...change, name });
        if (keepDays !== undefined && group.keepDays !== (keepDays ?? 0)) {
          await changeGroup(shards, group, { change: "retention", ...change, keepDays });
          onRetention(address);
        }
        return describeGroup(group);
      }),
    dissolve: (actor, address) =>
      inTurn(
        host(),
        actor,
        address,
        async (shards, group) => {
          assertAdmin(group, actor.user);
          const members = [...group.members.keys()];
          await loadMembers(shards, members);
          await changeGroup(shards, group, { change: "dissolved", by: actor.user, at: shards.clock.now(), members });
        },
        (group) => 1 + group.members.size,
      ),
    putMember: async (actor, address, user, role) =>
      user === actor.user && actingUser(host(), actor).membership(address) === undefined
        ? comeBack(host(), actor, address)
        : inTurn(host(), actor, address, (shards, group) =>
            putMember(shards, group, actor.user, user, role, additions),
          ),
    removeMember: (actor, address, user) =>
      inTurn(host(), actor, address, (shards, group) => removeMember(shards, group, actor.user, user)),
  };
}

/** Changes of one group wait for each other, so that each is checked against what the one before left. */
async function inTurn<T>(
  shards: ShardHost,
  actor: Actor,
  address: GroupAddress,
  change: (shards: ShardHost, group: GroupState) => Promise<T>,
  /** How many entries the change writes, in the group's log and in timelines. */
  entriesCaused: (group: GroupState) => number = () => 2,
): Promise<T> {
  const user = actingUser(shards, actor);
  const group = await shards.turns.run(visibleGroup(shards, user, address));
  takeSendTokens(shards.home(actor.user), user, entriesCaused(group));
  return waitTurn(group, () => {
    shards.mustTakeWrites();
    return change(shards, memberGroup(shards, user, address));
  });
}

function waitTurn<T>(group: GroupState, change: () => Promise<T>): Promise<T> {
  const turn = group.changing.then(change);
  group.changesWaiting++;
  const ended = (): void => void group.changesWaiting--;
  group.changing = turn.then(ended, ended);
  return turn;
}

/** Whoever is put in or taken out gets an entry of their own. */
async function loadMembers(shards: ShardHost, members: readonly UserId[]): Promise<void> {
  await shards.turns.run(loadUsers(shards, members));
  shards.mustTakeWrites();
}

async function putMember(
  shards: ShardHost,
  group: GroupState,
  by: UserId,
  user: UserId,
  role: GroupRole,
  additions: GroupAdditions,
): Promise<void> {
  assertAdmin(group, by);
  const member = group.members.get(user);
  if (member?.role === role) return;
  const at = shards.clock.now();
  if (member) {
    if (role === "member") assertAdminRemains(group, user);
    return changeGroup(shards, group, { change: "role", by, at, user, role });
  }
  assertGroupSize(shards, group.members.size + 1);
  await loadMembers(shards, [user]);
  const added = existingUser(shards, user);
  if (hasLeft(group, added)) {
    throw new AppError("forbidden", `${added.address} has left ${group.address}; only they can come back`);
  }
  assertRoomForGroup(added, false);
  additions.take(by, [user]);
  await changeGroup(shards, group, { change: "joined", by, at, user, role });
}

/** Whether the user went by their own doing, and was not removed by somebody else, in the present life of the group. What the timeline took last of the group says when. */
function hasLeft(group: GroupState, user: UserState): boolean {
  const leftAt = user.conversations.get(group.address)?.takenThrough ?? 0;
  if (leftAt < group.bornSeq || user.membership(group.address) !== undefined) return false;
  const [stored] = group.log.readForward(group.address, (leftAt - 1) as Seq, 1);
  const entry = stored && readGroupEntry(stored);
  return entry?.kind === "changed" && entry.detail.change === "left" && entry.detail.by === user.user;
}

/** Who has left may come back, as a member. Nobody else learns here whether there is such a group. */
async function comeBack(shards: ShardHost, actor: Actor, address: GroupAddress): Promise<void> {
  const user = actingUser(shards, actor);
  takeSendTokens(shards.home(actor.user), user, 2);
  const group = await shards.turns.run(shards.groups.steps(address));
  const isKnown = group?.isOver === false && (group.members.has(actor.user) || hasLeft(group, user));
  if (group === undefined || !isKnown) {
    memberGroup(shards, user, address);
    throw unknownGroup(address);
  }
  return waitTurn(group, async () => {
    shards.mustTakeWrites();
    if (group.members.has(actor.user)) return;
    // It may be over by now, and another life of it may have begun; and the user may have been loaded anew.
    const present = actingUser(shards, actor);
    if (group.isOver || !hasLeft(group, present)) throw unknownGroup(address);
    assertGroupSize(shards, group.members.size + 1);
    assertRoomForGroup(present, true);
    const change = {
      change: "joined",
      by: actor.user,
      at: shards.clock.now(),
      user: actor.user,
      role: "member",
    } as const;
    await changeGroup(shards, group, change);
  });
}

async function removeMember(shards: ShardHost, group: GroupState, by: UserId, user: UserId): Promise<void> {
  if (by !== user) assertAdmin(group, by);
  if (!group.members.has(user)) throw new AppError("not_found", `${userAddress(user)} is not in ${group.address}`);
  await loadMembers(shards, [user]);
  const at = shards.clock.now();
  const heir = heirOf(group, user);
  if (heir) await changeGroup(shards, group, { change: "role", by, at, user: heir, role: "admin" });
  await changeGroup(shards, group, { change: "left", by, at, user });
}

/** A group whose last admin goes is led by who has been in it longest. */
function heirOf(group: GroupState, leaving: UserId): UserId | undefined {
  const others = [...group.members].filter(([user]) => user !== leaving);
  if (others.length === 0 || others.some(([, member]) => member.role === "admin")) return undefined;
  others.sort(([a, one], [b, other]) => one.joinedSeq - other.joinedSeq || (a < b ? -1 : 1));
  return others[0]![0];
}

function assertAdmin(group: GroupState, user: UserId): void {
  if (!group.isAdmin(user)) throw new AppError("forbidden", `only an admin of ${group.address} may do that`);
}

function assertAdminRemains(group: GroupState, user: UserId): void {
  for (const [member, { role }] of group.members) if (member !== user && role === "admin") return;
  throw new AppError("forbidden", `${userAddress(user)} is the last admin of ${group.address}; make another one first`);
}

function assertGroupSize(shards: ShardHost, size: number): void {
  const { groupMembersMax } = shards.limits;
  if (size > groupMembersMax) throw new AppError("too_large", `members: ${size}, the most is ${groupMembersMax}`);
}

/** @throws AppError unknown_address */
function existingUser(shards: ShardHost, user: UserId) {
  const state = shards.users.get(user);
  if (state === undefined) throw new AppError("unknown_address", `${userAddress(user)}: there is no such user`);
  return state;
}

function describeGroup(group: GroupState): Group {
  return {
    id: nameOf(group.address),
    name: group.name,
    createdAt: group.createdAt,
    head: { epoch: group.epoch, seq: group.headSeq },
    members: [...group.members].map(([user, { role }]) => ({ user, role })),
    ...(group.keepDays > 0 ? { keepDays: group.keepDays } : {}),
  };
}
