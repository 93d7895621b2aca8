/** How the homes of a cluster node see groups: those of this node by their own states, those of others by copies. */
import type { Steps } from "../../base/steps.ts";
import { shardOf, type GroupAddress, type UserId } from "../../domain/address.ts";
import type { ShardId } from "../../../storage/types.ts";
import type { Standing } from "../../home/groups/group-heads.ts";
import type { GroupMirror, GroupMirrors, SettledPost } from "../../home/group-mirror.ts";
import type { EntryCast } from "../../home/messages/cast.ts";
import type { FollowedMirrors } from "../../home/mirrors/followed-mirrors.ts";
import type { UserState } from "../../home/state/user-state.ts";

export class ClusterMirrors implements GroupMirrors {
  readonly #local: GroupMirrors;
  readonly #followed: FollowedMirrors;
  readonly #isHere: (shard: ShardId) => boolean;

  constructor(local: GroupMirrors, followed: FollowedMirrors, isHere: (shard: ShardId) => boolean) {
    this.#local = local;
    this.#followed = followed;
    this.#isHere = isHere;
  }

  peek(group: GroupAddress, shard: ShardId): GroupMirror | undefined {
    return this.#of(shard).peek(group, shard);
  }

  steps(group: GroupAddress, shard: ShardId = shardOf(group)): Steps<GroupMirror | undefined> {
    return this.#of(shard).steps(group, shard);
  }

  head(group: GroupAddress, shard: ShardId, user: UserId): Standing | undefined {
    return this.#of(shard).head(group, shard, user);
  }

  readHeads(user: UserState, groups?: ReadonlySet<GroupAddress>): Steps<void> {
    return this.#readHeads(user, groups);
  }

  entry(cast: EntryCast): void {
    this.#of(shardOf(cast.group)).entry(cast);
  }

  membershipChanged(user: UserState, group: GroupAddress): void {
    this.#of(shardOf(group)).membershipChanged(user, group);
  }

  settled(user: UserState, group: GroupAddress, post: SettledPost): void {
    this.#of(shardOf(group)).settled(user, group, post);
  }

  stop(): void {
    this.#local.stop();
    this.#followed.stop();
  }

  #of(shard: ShardId): GroupMirrors {
    return this.#isHere(shard) ? this.#local : this.#followed;
  }

  /** First those of other nodes, which takes turns. Then those of this node, so that they are current at the end. */
  *#readHeads(user: UserState, groups?: ReadonlySet<GroupAddress>): Steps<void> {
    yield* this.#followed.readHeads(user, groups);
    yield* this.#local.readHeads(user, groups);
  }
}
