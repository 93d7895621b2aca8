/**
 * Group mirrors of the node that owns the groups' shards: they return the groups' own states. `entry` pushes each entry of a
 * group to the sessions of its members: src/home/README.md says what must hold (*Who gets an entry of a group*).
 */
import type { Steps } from "../base/steps.ts";
import { shardOf, type GroupAddress } from "../domain/address.ts";
import type { ShardId } from "../../storage/types.ts";
import type { Connected } from "../home/connected.ts";
import type { Standing } from "../home/groups/group-heads.ts";
import { LARGE_GROUP_MEMBERS, type GroupMirror, type GroupMirrors, type SettledPost } from "../home/group-mirror.ts";
import type { EntryCast, OwnPost } from "../home/messages/cast.ts";
import { showOwnPost } from "../home/sending/post-group.ts";
import type { Session } from "../home/session.ts";
import type { Shard } from "../home/shard.ts";
import type { GroupState } from "../home/state/group-state.ts";
import type { UserState } from "../home/state/user-state.ts";
import { Audiences } from "./audiences.ts";

const LOOKS_PER_STEP = 64;

export class LocalMirrors implements GroupMirrors {
  readonly #shard: (id: ShardId) => Shard;
  readonly #connected: Connected;
  readonly #audiences: Audiences;
  readonly #isHere: (shard: ShardId) => boolean;

  /** @param isHere whether this node owns a shard: groups of others are passed over */
  constructor(shard: (id: ShardId) => Shard, connected: Connected, isHere: (shard: ShardId) => boolean = () => true) {
    this.#shard = shard;
    this.#connected = connected;
    this.#audiences = new Audiences(connected);
    this.#isHere = isHere;
  }

  peek(group: GroupAddress, shard: ShardId): GroupMirror | undefined {
    return this.#shard(shard).groups.peek(group);
  }

  steps(group: GroupAddress, shard: ShardId = shardOf(group)): Steps<GroupMirror | undefined> {
    return this.#shard(shard).groups.steps(group);
  }

  head(group: GroupAddress, shard: ShardId): Standing | undefined {
    return this.#shard(shard).heads.of(group);
  }

  *readHeads(user: UserState, groups: Iterable<GroupAddress> = user.groups()): Steps<void> {
    let looked = 0;
    for (const address of groups) {
      const shard = user.conversations.get(address)?.shard ?? shardOf(address);
      if (!this.#isHere(shard)) continue;
      const { heads } = this.#shard(shard);
      const isRead = !heads.isAtHand(address);
      if (isRead) heads.of(address);
      if (isRead || ++looked % LOOKS_PER_STEP === 0) yield;
    }
  }

  entry(cast: EntryCast): void {
    const { own } = cast;
    const large = own === undefined ? undefined : this.#largeGroup(cast);
    if (large === undefined) this.#showUsers(cast);
    else this.#showAudience(cast, this.#audiences.of(large));
    if (own !== undefined && this.#connected.of(own.author) !== undefined) this.#showOwn(cast, own);
  }

  membershipChanged(): void {}

  settled(_user: UserState, _group: GroupAddress, post: SettledPost): void {
    post.tell();
  }

  stop(): void {}

  /** The group of a post to many members. Its members are those of the post if no entry has come behind it. */
  #largeGroup({ group, seq }: EntryCast): GroupState | undefined {
    const shard = shardOf(group);
    // It may have moved to another node since the post was appended.
    const state = this.#isHere(shard) ? this.#shard(shard).groups.peek(group) : undefined;
    return state !== undefined && state.members.size >= LARGE_GROUP_MEMBERS && state.headSeq === seq
      ? state
      : undefined;
  }

  #showAudience({ group, seq, frame, own }: EntryCast, sessions: readonly Session[]): void {
    const author = own?.author;
    const { length } = sessions;
    for (let at = 0; at < length; at++) {
      const session = sessions[at]!;
      if (session.user !== author) session.entry(group, seq, frame, true);
    }
  }

  #showUsers({ group, seq, frame, own, users }: EntryCast): void {
    const author = own?.author;
    for (const user of users) {
      if (user === author) continue;
      const sessions = this.#connected.of(user);
      if (sessions !== undefined) for (const session of sessions) session.entry(group, seq, frame);
    }
  }

  #showOwn(cast: EntryCast, { author, authorShard, ref }: OwnPost): void {
    const user = this.#shard(authorShard).users.peek(author);
    if (user !== undefined) showOwnPost(user, cast, ref);
  }
}
