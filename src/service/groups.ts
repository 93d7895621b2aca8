/** Groups: who may change what. The changes themselves are src/shard/group-changes.ts. */
import { AppError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { randomName } from "../base/random.ts";
import { groupAddress, nameOf, userAddress, type GroupAddress, type GroupId, type UserId } from "../domain/address.ts";
import type { GroupChangeDetail } from "../domain/entries.ts";
import type { GroupRole } from "../protocol/frames.ts";
import type { Group } from "../protocol/http-shapes.ts";
import { assertRoomForGroup, changeGroup, createGroup } from "../shard/group-changes.ts";
import type { GroupState } from "../shard/group-state.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import { actingUser } from "./acting-user.ts";
import { memberGroup } from "./history.ts";
import { takeSendTokens } from "./send-tokens.ts";
import type { Actor, Groups } from "./types.ts";

const EPOCH_CHARACTERS = 8;
const GROUP_ID_CHARACTERS = 12;

/** @param onRetention told when a group has set how long its messages are kept */
export function createGroups(
  host: () => ShardHost,
  random: Random,
  onRetention: (address: GroupAddress) => void = () => {},
): Groups {
  const creating = new Set<GroupAddress>();

  async function create(actor: Actor, input: { id?: GroupId; name: string; members: UserId[] }): Promise<Group> {
    const shards = host();
    const creator = actingUser(shards, actor);
    const members = [...new Set([actor.user, ...input.members])];
    assertGroupSize(shards, members.length);
    shards.mustTakeWrites();
    takeSendTokens(shards, creator, 1 + members.length);
    for (const user of members) assertRoomForGroup(existingUser(shards, user));
    const address = groupAddress(input.id ?? (randomName(random, GROUP_ID_CHARACTERS) as GroupId));
    if (creating.has(address) || shards.groups.get(address))
      throw new AppError("group_taken", `${address} is there already; choose another id`);
    creating.add(address);
    try {
      const epoch = randomName(random, EPOCH_CHARACTERS);
      const detail: GroupChangeDetail = {
        change: "created",
        by: actor.user,
        at: shards.clock.now(),
        name: input.name,
        members,
      };
      return describeGroup(await createGroup(shards, address, epoch, detail));
    } finally {
      creating.delete(address);
    }
  }

  return {
    create,
    async get(actor, address) {
      return describeGroup(memberGroup(host(), actingUser(host(), actor), address));
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
          await changeGroup(shards, group, { change: "dissolved", by: actor.user, at: shards.clock.now(), members });
        },
        (group) => 1 + group.members.size,
      ),
    putMember: (actor, address, user, role) =>
      inTurn(host(), actor, address, (shards, group) => putMember(shards, group, actor.user, user, role)),
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
  const group = memberGroup(shards, user, address);
  takeSendTokens(shards, user, entriesCaused(group));
  const turn = group.changing.then(() => {
    shards.mustTakeWrites();
    return change(shards, memberGroup(shards, user, address));
  });
  group.changing = turn.then(
    () => {},
    () => {},
  );
  return turn;
}

async function putMember(
  shards: ShardHost,
  group: GroupState,
  by: UserId,
  user: UserId,
  role: GroupRole,
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
  assertRoomForGroup(existingUser(shards, user));
  await changeGroup(shards, group, { change: "joined", by, at, user, role });
}

async function removeMember(shards: ShardHost, group: GroupState, by: UserId, user: UserId): Promise<void> {
  if (by !== user) assertAdmin(group, by);
  if (!group.members.has(user)) throw new AppError("not_found", `${userAddress(user)} is not in ${group.address}`);
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
