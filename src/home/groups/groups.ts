/**
 * Groups as their members call for them, at the members' homes. Each call is paid for here and sent as one ask to the
 * group's shard, which decides (src/home/asks/answer-change-group.ts, answer-create-group.ts).
 */
import { AppError } from "../../base/errors.ts";
import { randomName, type Random } from "../../base/random.ts";
import { groupAddress, shardOf, type GroupAddress, type GroupId, type UserId } from "../../domain/address.ts";
import { mustFit, viewerOf } from "../authorization.ts";
import type { GroupMirror } from "../group-mirror.ts";
import type { Answers, GroupWish } from "../messages/ask.ts";
import type { ShardId } from "../../../storage/types.ts";
import type { Home, Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import { actingUser } from "../acting-user.ts";
import { payForStrange } from "../reading/addresses.ts";
import type { GroupAdditions } from "./group-additions.ts";
import { takeSendTokens } from "../sending/send-tokens.ts";
import type { Actor, Groups } from "../services.ts";

const EPOCH_CHARACTERS = 8;
const CALL_CHARACTERS = 12;
const DRAWS_MAX = 1000;
const GROUP_ID_CHARACTERS = 12;
/** Entries that a change of one member writes: in the group's log, and in a timeline. */
const ENTRIES_OF_ONE = 2;

/** The calling user at their home. */
type Acting = { readonly shard: Shard; readonly user: UserState };

/**
 * @param additions how often a user may add others to groups
 * @param onRetention called when a group has set how long its messages are kept
 * @param isWhole whether the shard is undamaged, as far as is known; ids are drawn from whole shards
 */
export function createGroups(
  home: Home,
  random: Random,
  additions: GroupAdditions,
  onRetention: (address: GroupAddress) => void = () => {},
  isWhole: (shard: ShardId) => boolean = () => true,
): Groups {
  const acting = (actor: Actor): Acting => {
    const shard = home(actor.user);
    return { shard, user: actingUser(shard, actor) };
  };

  /** In a whole shard, if there is one. */
  function drawAddress(): GroupAddress {
    for (let tries = 1; ; tries++) {
      const address = groupAddress(randomName(random, GROUP_ID_CHARACTERS) as GroupId);
      if (tries === DRAWS_MAX || isWhole(shardOf(address))) return address;
    }
  }

  /**
   * Asks to add people to a group. A refusal adds nobody and gives the tokens back. After `unavailable` it is unknown
   * whether they were added, so the tokens stay spent.
   */
  async function adding<Answer>(by: UserId, added: readonly UserId[], ask: () => Promise<Answer>): Promise<Answer> {
    additions.take(by, added);
    try {
      return await ask();
    } catch (error) {
      if (error instanceof AppError && error.code !== "unavailable") additions.giveBack(by, added);
      throw error;
    }
  }

  async function change(
    { shard, user }: Acting,
    group: GroupAddress,
    wish: GroupWish,
    entriesCaused = ENTRIES_OF_ONE,
  ): Promise<Answers["changeGroup"]> {
    takeSendTokens(shard, user, entriesCaused);
    const call = randomName(random, CALL_CHARACTERS);
    return await shard.router.ask("changeGroup", group, { group, call, by: viewerOf(user, group), wish });
  }

  return {
    async create(actor, input) {
      const { shard, user } = acting(actor);
      const members = [...new Set([actor.user, ...input.members])];
      mustFit(shard.limits, members.length);
      shard.mustAcceptWrites();
      takeSendTokens(shard, user, 1 + members.length);
      const group = input.id === undefined ? drawAddress() : groupAddress(input.id);
      const epoch = randomName(random, EPOCH_CHARACTERS);
      const question = { group, epoch, by: actor.user, name: input.name, members };
      return adding(actor.user, members, async () => await shard.router.ask("createGroup", group, question));
    },

    async get(actor, group) {
      const { shard, user } = acting(actor);
      payForStrange(shard, user, group);
      return await shard.router.ask("group", group, { group, viewer: viewerOf(user, group) });
    },

    async change(actor, group, { name, keepDays }) {
      const answer = await change(acting(actor), group, {
        kind: "settings",
        name,
        keepDays: keepDays === null ? 0 : keepDays,
      });
      if (answer.isKeptAnew) onRetention(group);
      return answer.group!;
    },

    async dissolve(actor, group) {
      const who = acting(actor);
      const members = (await ownGroup(who, group))?.memberCount ?? 1;
      await change(who, group, { kind: "dissolve" }, 1 + members);
    },

    async putMember(actor, group, user, role) {
      const who = acting(actor);
      const own = await ownGroup(who, group);
      if (user === actor.user && own === undefined) return void (await change(who, group, { kind: "comeBack" }));
      const added = own === undefined || own.hasMember(user) ? [] : [user];
      const put = await adding(actor.user, added, () => change(who, group, { kind: "putMember", user, role }));
      if (!put.isAdded) additions.giveBack(actor.user, added);
    },

    async removeMember(actor, group, user) {
      await change(acting(actor), group, { kind: "removeMember", user });
    },
  };
}

/** Undefined for a group that the user is not in, as far as their home knows. */
async function ownGroup({ shard, user }: Acting, group: GroupAddress): Promise<GroupMirror | undefined> {
  return user.membership(group) && (await shard.turns.run(shard.mirrors.steps(group)));
}
