/**
 * Groups as the homes of their members see them: read only, and as far as the home has heard. On the node that owns the
 * group the mirror is the group's state itself, without a copy. Everything that a mirror does not have is asked of the
 * group's shard.
 *
 * A mirror is also where an entry of a group, cast by its shard, is pushed to the sessions of members. Two classes do
 * this: src/node/local-mirrors.ts and mirrors/followed-group.ts.
 */
import type { Steps } from "../base/steps.ts";
import type { GroupAddress, UserId } from "../domain/address.ts";
import type { Seq, ShardId } from "../../storage/types.ts";
import type { Standing } from "./groups/group-heads.ts";
import type { EntryCast } from "./messages/cast.ts";
import type { UserState } from "./state/user-state.ts";

/** From so many members on, posts of a group may gather in outboxes, and a node may keep a list of its sessions. */
export const LARGE_GROUP_MEMBERS = 64;

export type GroupMirror = Standing & {
  /** Rank of the newest entry. */
  readonly lastRank: number;
  readonly memberCount: number;
  /** Whether a user of this shard is a member, as far as the mirror has heard. */
  hasMember(user: UserId): boolean;
};

export type GroupMirrors = {
  /** The mirror if it is in memory. @param shard of the group */
  peek(group: GroupAddress, shard: ShardId): GroupMirror | undefined;
  /** Undefined if there is no such group. @throws AppError unavailable */
  steps(group: GroupAddress, shard?: ShardId): Steps<GroupMirror | undefined>;
  /**
   * The group's head, for this turn of the event loop; all entries behind it are pushed to the user's sessions.
   * Undefined if there is no such group, or its data cannot be read.
   * @param shard of the group
   */
  head(group: GroupAddress, shard: ShardId, user: UserId): Standing | undefined;
  /**
   * After it, in the same turn, `head` reads little or nothing for these groups.
   * @param groups default: those that the user is a member of
   */
  readHeads(user: UserState, groups?: ReadonlySet<GroupAddress>): Steps<void>;
  /** An entry is durable: tells the sessions of members. */
  entry(cast: EntryCast): void;
  /** A membership of a user of this node has changed in their timeline. */
  membershipChanged(user: UserState, group: GroupAddress): void;
  /**
   * A post of the user can be answered: at once, or in its place among the entries that the user's sessions are told.
   */
  settled(user: UserState, group: GroupAddress, post: SettledPost): void;
  stop(): void;
};

export type SettledPost = { readonly seq: Seq; tell(): void };
