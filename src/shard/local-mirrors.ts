/** Mirrors of a node that owns all shards: the states of the groups themselves. */
import type { Steps } from "../base/steps.ts";
import { shardOf, type GroupAddress } from "../domain/address.ts";
import type { ShardId } from "../../storage/types.ts";
import type { GroupHead, GroupHeads } from "./group-heads.ts";
import type { GroupMirror, GroupMirrors } from "./group-mirror.ts";
import type { Shard } from "./shard.ts";
import type { UserState } from "./user-state.ts";

export class LocalMirrors implements GroupMirrors {
  readonly #shard: (id: ShardId) => Shard;
  readonly #heads: GroupHeads;

  constructor(shard: (id: ShardId) => Shard, heads: GroupHeads) {
    this.#shard = shard;
    this.#heads = heads;
  }

  peek(group: GroupAddress, shard: ShardId): GroupMirror | undefined {
    return this.#shard(shard).groups.peek(group);
  }

  steps(group: GroupAddress): Steps<GroupMirror | undefined> {
    return this.#shard(shardOf(group)).groups.steps(group);
  }

  head(group: GroupAddress): GroupHead | undefined {
    return this.#heads.of(group);
  }

  readHeads(user: UserState, formerToo = false): Steps<void> {
    return this.#heads.read(user, formerToo);
  }
}
