/**
 * Groups as the homes of their members see them: read only, and no further than they have heard. On a node that owns the group the mirror is the group's state itself,
 * without a copy. What a mirror does not have is asked for.
 */
import type { Steps } from "../base/steps.ts";
import type { GroupAddress, UserId } from "../domain/address.ts";
import type { ShardId, Seq } from "../../storage/types.ts";
import type { GroupHead } from "./group-heads.ts";
import type { Member } from "./group-state.ts";
import type { UserState } from "./user-state.ts";

export type GroupMirror = {
  readonly address: GroupAddress;
  /** Of its present life. */
  readonly epoch: string;
  /** Where its present life begins: seq of its `created`. */
  readonly bornSeq: Seq;
  readonly headSeq: Seq;
  /** Rank of the newest entry. */
  readonly lastRank: number;
  readonly name: string;
  readonly members: ReadonlyMap<UserId, Member>;
  readonly isDissolved: boolean;
  readonly isOver: boolean;
};

export type GroupMirrors = {
  /** Only if it is at hand. @param shard that the group lives in */
  peek(group: GroupAddress, shard: ShardId): GroupMirror | undefined;
  /** Undefined when there is no such group. @throws AppError unavailable */
  steps(group: GroupAddress): Steps<GroupMirror | undefined>;
  /** The head, for this turn of the event loop; undefined when there is no such group, or its data cannot be read. */
  head(group: GroupAddress): GroupHead | undefined;
  /** After it, and in the same turn, `head` reads little or nothing for the groups that the user is in. @param formerToo those that they were in as well */
  readHeads(user: UserState, formerToo?: boolean): Steps<void>;
};
