/**
 * Groups as the homes of their members see them: read only, and no further than they have heard. On a node that owns the group the mirror is the group's state itself,
 * without a copy. What a mirror does not have is asked for.
 */
import type { Steps } from "../base/steps.ts";
import type { GroupAddress, UserId } from "../domain/address.ts";
import type { Seq, ShardId } from "../../storage/types.ts";
import type { Standing } from "./groups/group-heads.ts";
import type { EntryCast } from "./messages/cast.ts";
import type { UserState } from "./state/user-state.ts";

export type GroupMirror = Standing & {
  /** Rank of the newest entry. */
  readonly lastRank: number;
  readonly memberCount: number;
  /** Whether a user of this shard is in it, as far as the mirror has heard. */
  hasMember(user: UserId): boolean;
};

export type GroupMirrors = {
  /** Only if it is at hand. @param shard that the group lives in */
  peek(group: GroupAddress, shard: ShardId): GroupMirror | undefined;
  /** Undefined when there is no such group. @throws AppError unavailable */
  steps(group: GroupAddress, shard?: ShardId): Steps<GroupMirror | undefined>;
  /**
   * Where it stands, for this turn of the event loop, as far as whoever is connected of the user is told by themselves from now on; undefined when there is no such
   * group, or its data cannot be read.
   * @param shard that the group lives in
   */
  head(group: GroupAddress, shard: ShardId, user: UserId): Standing | undefined;
  /** After it, and in the same turn, `head` reads little or nothing for the groups that the user is in. @param formerToo those that they were in as well */
  readHeads(user: UserState, formerToo?: boolean): Steps<void>;
  /** An entry is there, and the sessions of members are told. */
  entry(cast: EntryCast): void;
  /** The timeline of a user of this node says something else of a group. */
  membershipChanged(user: UserState, group: GroupAddress): void;
  /** A post of the user can be answered: told at once, or in its place in what the user's sessions are told of the group. */
  settled(user: UserState, group: GroupAddress, post: SettledPost): void;
  stop(): void;
};

export type SettledPost = { readonly seq: Seq; tell(): void };
