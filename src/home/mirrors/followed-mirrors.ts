/**
 * Mirrors of a node that does not own the groups: copies, fed by casts, and compared with the groups at an interval.
 *
 * After a node asks for a group's standing, the routers send it the group's casts for `LEASE_MS`. So a mirror counts as
 * current for less than that after the last ask. It is asked for again while members are connected, and dropped when
 * none are.
 */
import { answered, type Steps } from "../../base/steps.ts";
import { isGroup, shardOf, type GroupAddress, type UserId } from "../../domain/address.ts";
import { AppError } from "../../base/errors.ts";
import { CLOSE } from "../../protocol/codes.ts";
import type { ShardId } from "../../../storage/types.ts";
import type { Standing } from "../groups/group-heads.ts";
import type { GroupMirror, GroupMirrors, SettledPost } from "../group-mirror.ts";
import type { EntryCast } from "../messages/cast.ts";
import type { GroupStanding } from "../messages/reads.ts";
import type { UserState } from "../state/user-state.ts";
import { FollowedGroup } from "./followed-group.ts";
import type { MirrorParts } from "./mirror-parts.ts";

export const LEASE_MS = 60_000;
const AT_HAND_MS = 30_000;
const COMPARE_MS = 5000;
const SOON_MS = 20;
const COME_BACK_MS = 1000;
/** Concurrent asks. */
const ASKS_MAX = 64;

export class FollowedMirrors implements GroupMirrors {
  readonly #parts: MirrorParts;
  readonly #groups = new Map<GroupAddress, FollowedGroup>();
  /** Groups that are not there, as their shards said last. */
  readonly #absent = new Set<GroupAddress>();
  /** Users who have joined a group that is not followed yet. */
  readonly #joined = new Map<GroupAddress, Set<UserState>>();
  /** Users who were connected without the group, since its shard was out of reach. */
  readonly #missed = new Map<GroupAddress, Map<UserId, UserState>>();
  readonly #asked = new Set<GroupAddress>();
  #cancelCompare: (() => void) | undefined;
  readonly #compareMs: number;
  #isStopped = false;

  /** @param compareMs how often the mirrors are compared with their groups */
  constructor(parts: MirrorParts, { compareMs = COMPARE_MS } = {}) {
    this.#parts = parts;
    this.#compareMs = compareMs;
    parts.connected.watch({ came: (user) => this.#came(user), went: (user) => this.#went(user) });
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelCompare?.();
  }

  peek(group: GroupAddress): GroupMirror | undefined {
    const followed = this.#atHand(group);
    return followed?.isWhole === true ? followed : undefined;
  }

  *steps(group: GroupAddress): Steps<GroupMirror | undefined> {
    return this.peek(group) ?? (yield* this.#ask(group, true));
  }

  head(group: GroupAddress, _shard: ShardId, user: UserId): Standing | undefined {
    if (this.#isMissed(group, user)) return undefined;
    return this.#groups.get(group)?.standingFor(user);
  }

  *readHeads(user: UserState, groups: Iterable<GroupAddress> = user.groups()): Steps<void> {
    const missing = [...groups].filter((group) => this.#isMissing(user, group));
    for (let at = 0; at < missing.length; at += ASKS_MAX) {
      const asking = missing.slice(at, at + ASKS_MAX).map((group) => this.#askOrMiss(user, group));
      yield* answered(Promise.all(asking));
    }
  }

  /**
   * A group whose shard is out of reach counts as absent, as a damaged one does: its members get everything else. When
   * it is followed, they come back with their cursors, and get what they have missed.
   */
  async #askOrMiss(user: UserState, group: GroupAddress): Promise<void> {
    try {
      await this.#parts.turns.run(this.#ask(group, false));
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== "unavailable") throw error;
      this.#parts.logger.debug("a group cannot be reached; its members get everything else", { group, error });
      this.#missed.set(group, (this.#missed.get(group) ?? new Map<UserId, UserState>()).set(user.user, user));
      this.#compareLater();
    }
  }

  #isMissed(group: GroupAddress, user: UserId): boolean {
    return this.#missed.size > 0 && this.#missed.get(group)?.has(user) === true;
  }

  /** Now it can be reached. */
  #tellMissed(group: GroupAddress): void {
    const users = this.#missed.get(group)?.values() ?? [];
    this.#missed.delete(group);
    for (const { sessions } of users)
      for (const session of [...sessions]) session.close(CLOSE.tryLater, "a group can be reached again", COME_BACK_MS);
  }

  /** Asks for groups that were out of reach, while users are connected who miss them. */
  #askForMissed(): void {
    for (const [group, users] of this.#missed) {
      for (const [name, user] of users) if (user.sessions.length === 0) users.delete(name);
      if (users.size > 0) this.#compare(group);
      else this.#missed.delete(group);
    }
  }

  entry(cast: EntryCast): void {
    this.#groups.get(cast.group)?.entry(cast);
  }

  membershipChanged(user: UserState, group: GroupAddress): void {
    if (user.sessions.length === 0) return;
    const { joinedSeq, takenThrough } = user.conversation(group);
    const followed = this.#groups.get(group);
    if (joinedSeq === 0) return followed?.leaves(user.user, takenThrough);
    // In this turn: from now on the user's catch-ups read the group.
    if (followed !== undefined) return followed.joins(user, joinedSeq);
    this.#joined.set(group, (this.#joined.get(group) ?? new Set()).add(user));
    this.#parts.turns.run(this.#ask(group, false)).catch((error: unknown) => this.#notFollowed(group, error));
  }

  /**
   * The members would miss the group's entries. So their connections are closed, and they come back with their cursors.
   */
  #notFollowed(group: GroupAddress, error: unknown): void {
    this.#parts.logger.warn("a group that was joined cannot be followed", { group, error });
    const users = this.#joined.get(group) ?? [];
    this.#joined.delete(group);
    for (const { sessions } of users)
      for (const session of [...sessions]) session.close(CLOSE.tryLater, "a group cannot be followed", COME_BACK_MS);
  }

  settled(user: UserState, group: GroupAddress, post: SettledPost): void {
    const followed = this.#groups.get(group);
    if (followed === undefined) post.tell();
    else followed.settled(user, post);
  }

  /** Groups of the shard have another owner: asks it soon, so that it sends their casts. */
  ownerChanged(shard: ShardId): void {
    for (const group of this.#groups.keys()) if (shardOf(group) === shard) this.#lookAgain(group);
  }

  /** Groups of the shard are not followed any more, or are followed anew. */
  forget(shard: ShardId): void {
    for (const [group, followed] of [...this.#groups]) {
      if (shardOf(group) !== shard) continue;
      this.#groups.delete(group);
      followed.end();
    }
  }

  #came(user: UserState): void {
    for (const group of user.groups()) {
      if (this.#isMissed(group, user.user)) continue;
      const followed = this.#groups.get(group);
      if (followed !== undefined) followed.comes(user);
      else if (this.#isToFollow(user, group) && !this.#absent.has(group)) this.#sendAway(user);
    }
    this.#compareLater();
  }

  /**
   * A group of the user has come to be followed since its head was read for this connection: nobody knows what the
   * device has of it. So the device comes back with its cursor.
   */
  #sendAway({ sessions }: UserState): void {
    setImmediate(() => {
      for (const session of [...sessions]) session.close(CLOSE.tryLater, "a group has moved to another node", SOON_MS);
    });
  }

  #isToFollow(user: UserState, group: GroupAddress): boolean {
    return this.#parts.isFollowed?.(user.conversations.get(group)?.shard ?? shardOf(group)) !== false;
  }

  #went(user: UserState): void {
    for (const { address } of user.conversations.values())
      if (isGroup(address)) this.#groups.get(address)?.goes(user.user);
  }

  #isMissing(user: UserState, group: GroupAddress): boolean {
    if (!this.#isToFollow(user, group)) return false;
    return this.#atHand(group) === undefined || this.#isMissed(group, user.user);
  }

  #atHand(group: GroupAddress): FollowedGroup | undefined {
    const followed = this.#groups.get(group);
    if (followed === undefined) return undefined;
    return this.#parts.clock.monotonicMs() - followed.heardAt < AT_HAND_MS ? followed : undefined;
  }

  // ---- asking for standings

  *#ask(group: GroupAddress, isWhole: boolean): Steps<FollowedGroup | undefined> {
    const askedAt = this.#parts.clock.monotonicMs();
    const standing = yield* answered(this.#parts.router().ask("groupStanding", group, { group, isWhole }));
    if (standing === undefined) return void this.#absent.add(group);
    this.#absent.delete(group);
    const followed = this.#groups.get(group) ?? this.#follow(group, standing);
    this.#tellMissed(group);
    followed.heard(standing, askedAt);
    for (const user of this.#joined.get(group) ?? []) {
      const { joinedSeq } = user.conversation(group);
      if (joinedSeq > 0 && user.sessions.length > 0) followed.joins(user, joinedSeq);
    }
    this.#joined.delete(group);
    this.#compareLater();
    return followed;
  }

  #follow(group: GroupAddress, standing: GroupStanding): FollowedGroup {
    const followed = new FollowedGroup(group, standing, this.#parts, () => this.#lookAgain(group));
    this.#groups.set(group, followed);
    return followed;
  }

  #lookAgain(group: GroupAddress): void {
    if (this.#isStopped || this.#asked.has(group)) return;
    this.#asked.add(group);
    this.#parts.clock.after(SOON_MS, () => {
      this.#asked.delete(group);
      if (!this.#isStopped) this.#compare(group);
    });
  }

  #compareLater(): void {
    if (this.#isStopped || this.#cancelCompare !== undefined) return;
    if (this.#groups.size === 0 && this.#missed.size === 0) return;
    this.#cancelCompare = this.#parts.clock.after(this.#compareMs, () => {
      this.#cancelCompare = undefined;
      this.#askForMissed();
      for (const [group, followed] of this.#groups) {
        if (followed.isNeeded) this.#compare(group);
        else if (this.#atHand(group) === undefined) this.#groups.delete(group);
      }
      this.#compareLater();
    });
  }

  /** A group whose shard does not answer is asked for again at the next interval. */
  #compare(group: GroupAddress): void {
    this.#parts.turns.run(this.#ask(group, false)).catch((error: unknown) => {
      this.#parts.logger.debug("the standing of a group could not be read", { group, error });
      // Nobody could read its entries now: whoever connects does without it.
      const followed = this.#groups.get(group);
      if (followed !== undefined) followed.heardAt = Number.NEGATIVE_INFINITY;
    });
  }
}
