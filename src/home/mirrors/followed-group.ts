/**
 * A group that lives at another node, as this node follows it: its head, and its members who are connected here.
 * Entries are pushed in their order (G7), even if casts are lost, repeated or overtaken.
 *
 * Invariants
 * - Sessions of a member have been told everything up to the head. Or the member is behind: then they have been told
 *   everything through `through`, and are told the rest next.
 * - Only the next entry is pushed. A repeated or overtaken cast is at or below the head. A missing cast leaves a hole,
 *   which is read from the group's log.
 * - The device that sent a post gets `sent` in the place of its message. While `sent` is on its way, later entries are
 *   held for this member.
 */
import { answered, type Steps } from "../../base/steps.ts";
import type { GroupAddress, UserId } from "../../domain/address.ts";
import type { GroupFrame } from "../../protocol/frames.ts";
import type { Seq } from "../../../storage/types.ts";
import { isNotMember, viewerOf } from "../authorization.ts";
import type { Standing } from "../groups/group-heads.ts";
import { LARGE_GROUP_MEMBERS, type GroupMirror, type SettledPost } from "../group-mirror.ts";
import type { Answers } from "../messages/ask.ts";
import type { EntryCast } from "../messages/cast.ts";
import type { GroupStanding } from "../messages/reads.ts";
import { showOwnPost } from "../sending/post-group.ts";
import type { UserState } from "../state/user-state.ts";
import type { MirrorParts } from "./mirror-parts.ts";

const PAGE_ENTRIES = 64;
const PAGE_CHARACTERS = 1 << 18;
const HELD_MAX = 256;
const SENT_WAIT_MS = 1000;
const RETRY_MS = 1000;

/** `change`: the frame, if the entry changes the group. */
type Heard = { readonly cast: EntryCast; readonly change: GroupFrame | undefined };

/**
 * `held`: the newest entries, up to the head without a hole. Entries between `through` and `held` are read from the
 * log. `isAwaitingSent`: there are none; the first held entry is an own post whose `sent` is awaited. `isSure`: the
 * group's shard has said that the user is a member.
 */
type Behind = {
  through: Seq;
  held: Heard[];
  isAwaitingSent: boolean;
  isSure: boolean;
  isReading: boolean;
  cancel: () => void;
};

export class FollowedGroup implements GroupMirror {
  readonly address: GroupAddress;
  epoch: string;
  bornSeq: Seq;
  headSeq: Seq;
  lastRank = 0;
  memberCount = 0;
  /** Whether rank and count are known. */
  isWhole = false;
  /** Monotonic time of the last ask that was answered. */
  heardAt = 0;
  readonly #parts: MirrorParts;
  readonly #lookAgain: () => void;
  /** Members who are connected here. */
  readonly #users = new Map<UserId, UserState>();
  readonly #behind = new Map<UserId, Behind>();
  /** Answers to posts that wait for their place in the stream, by author. */
  readonly #settled = new Map<UserId, SettledPost[]>();

  /** @param lookAgain called when the mirror may be wrong: asks for the group's standing */
  constructor(address: GroupAddress, standing: GroupStanding, parts: MirrorParts, lookAgain: () => void) {
    this.address = address;
    this.epoch = standing.epoch;
    this.bornSeq = standing.bornSeq;
    this.headSeq = standing.headSeq;
    this.#parts = parts;
    this.#lookAgain = lookAgain;
  }

  get isNeeded(): boolean {
    return this.#users.size > 0;
  }

  hasMember(): boolean {
    return true;
  }

  /** Through which entry this mirror tells the user's sessions; it pushes everything behind that. */
  standingFor(user: UserId): Standing {
    const behind = this.#behind.get(user);
    if (behind === undefined) return this;
    const { address, epoch, bornSeq } = this;
    return { address, epoch, bornSeq, headSeq: behind.through };
  }

  // ---- what is heard of the group

  /** @param askedAt monotonic */
  heard({ epoch, bornSeq, headSeq, whole }: GroupStanding, askedAt: number): void {
    // A later answer may have overtaken this one.
    if (bornSeq < this.bornSeq) return;
    if (epoch !== this.epoch) this.#beginLife(epoch, bornSeq);
    this.heardAt = Math.max(this.heardAt, askedAt);
    if (whole !== undefined && headSeq >= this.headSeq) {
      this.lastRank = whole.lastRank;
      this.memberCount = whole.memberCount;
      this.isWhole = true;
    }
    this.#rise(headSeq);
  }

  entry(cast: EntryCast): void {
    if (cast.seq <= this.headSeq) return;
    const change = cast.own === undefined ? (JSON.parse(cast.frame) as GroupFrame) : undefined;
    if (change?.change === "created" && change.epoch !== this.epoch) this.#beginLife(change.epoch!, cast.seq);
    if (cast.seq !== this.headSeq + 1) this.#rise((cast.seq - 1) as Seq);
    this.headSeq = cast.seq;
    if (cast.rank === undefined) this.isWhole = false;
    else this.lastRank = cast.rank;
    const heard = { cast, change };
    for (const user of this.#users.values()) this.#show(user, heard);
  }

  /** There are entries that no cast has brought. */
  #rise(headSeq: Seq): void {
    const before = this.headSeq;
    if (headSeq <= before) return;
    this.headSeq = headSeq;
    for (const user of this.#users.values()) this.#fallBehind(user, before);
  }

  /** No member of a former life is in the new one without joining it. */
  #beginLife(epoch: string, bornSeq: Seq): void {
    for (const [name, user] of this.#users)
      if ((user.membership(this.address)?.joinedSeq ?? 0) < bornSeq) this.leaves(name, bornSeq);
    this.epoch = epoch;
    this.bornSeq = bornSeq;
    this.headSeq = Math.max(this.headSeq, bornSeq - 1) as Seq;
    this.isWhole = false;
  }

  // ---- members

  /**
   * A member has connected; entries behind the head are pushed to them. The member's timeline may not know yet that
   * they have left, so the group's shard is asked.
   */
  comes(user: UserState): void {
    this.#users.set(user.user, user);
    this.#fallBehind(user, this.headSeq, false);
  }

  /** A connected user has joined the group. */
  joins(user: UserState, joinedSeq: Seq): void {
    this.leaves(user.user, joinedSeq);
    this.#rise(joinedSeq);
    this.#users.set(user.user, user);
    this.#fallBehind(user, (joinedSeq - 1) as Seq);
  }

  /** The group is not followed any more: nobody is told anything, but that posts are accepted. */
  end(): void {
    for (const user of [...this.#users.keys(), ...this.#settled.keys()]) this.goes(user);
  }

  /** The user is no longer connected. */
  goes(user: UserId): void {
    this.leaves(user, Number.POSITIVE_INFINITY);
  }

  /**
   * The user is no longer a member. @param through seq of the last change that the user's timeline or the group knows
   * of: a post behind it belongs to a membership that is still to come
   */
  leaves(user: UserId, through: number): void {
    this.#users.delete(user);
    this.#behind.get(user)?.cancel();
    this.#behind.delete(user);
    this.#tellSettled(user, through);
  }

  // ---- telling members

  #show(user: UserState, heard: Heard): void {
    const { cast, change } = heard;
    const behind = this.#behind.get(user.user);
    if (behind !== undefined) return this.#hold(user, behind, heard);
    if (cast.own?.author === user.user) return this.#showOwn(user, cast, cast.own.ref);
    const mayGather = cast.own !== undefined && this.#users.size >= LARGE_GROUP_MEMBERS;
    for (const session of user.sessions) session.entry(this.address, cast.seq, cast.frame, mayGather);
    if (change !== undefined && isLastOf(user.user, change)) this.leaves(user.user, cast.seq);
  }

  #hold(user: UserState, behind: Behind, heard: Heard): void {
    behind.held.push(heard);
    if (behind.held.length > HELD_MAX) this.#readAll(user, behind);
  }

  #showOwn(user: UserState, cast: EntryCast, ref: string): void {
    const sender = user.pendingSend(ref)?.reply.session;
    const isSettled = this.#settled.get(user.user)?.some(({ seq }) => seq === cast.seq) === true;
    const mustWait = !isSettled && sender !== undefined && user.sessions.includes(sender);
    if (mustWait) return this.#awaitSent(user, cast);
    showOwnPost(user, cast, ref);
    this.#tellSettled(user.user, cast.seq);
  }

  #awaitSent(user: UserState, cast: EntryCast): void {
    const behind = this.#newBehind(user, (cast.seq - 1) as Seq);
    behind.held.push({ cast, change: undefined });
    behind.isAwaitingSent = true;
    behind.cancel = this.#parts.clock.after(SENT_WAIT_MS, () => {
      if (this.#isBehind(user, behind)) this.#readAll(user, behind);
    });
  }

  /** Gives up awaiting `sent`: the device sees its post like any other, and gets `sent` whenever that comes. */
  #readAll(user: UserState, behind: Behind): void {
    behind.cancel();
    behind.held = [];
    behind.isAwaitingSent = false;
    this.#readSoon(user);
  }

  /** A post of a member can be answered: in its place in the stream. */
  settled(user: UserState, post: SettledPost): void {
    const behind = this.#behind.get(user.user);
    if (user.sessions.length === 0 || post.seq <= this.#toldThrough(user, behind)) return post.tell();
    const next = behind?.held[0]?.cast;
    const isNext = behind?.isAwaitingSent === true && next?.seq === post.seq;
    if (isNext) return this.#sentInPlace(user, behind, next, post);
    const posts = this.#settled.get(user.user);
    if (posts === undefined) this.#settled.set(user.user, [post]);
    else posts.push(post);
    if (post.seq > this.headSeq) this.#lookAgain();
  }

  /**
   * The seq through which the user's devices have been told, or are catching up. For a user who is no member, as far as
   * is known here, the last change in their timeline.
   */
  #toldThrough({ user, conversations }: UserState, behind: Behind | undefined): number {
    const isIn = this.#users.has(user) && behind?.isSure !== false;
    if (isIn) return behind?.through ?? this.headSeq;
    return conversations.get(this.address)?.takenThrough ?? 0;
  }

  #showHeld(user: UserState, held: readonly Heard[]): void {
    for (const heard of held) if (this.#users.has(user.user)) this.#show(user, heard);
  }

  #sentInPlace(user: UserState, { held, cancel }: Behind, own: EntryCast, post: SettledPost): void {
    cancel();
    this.#behind.delete(user.user);
    showOwnPost(user, own, own.own!.ref);
    post.tell();
    this.#showHeld(user, held.slice(1));
  }

  #tellSettled(user: UserId, through: number): void {
    const posts = this.#settled.get(user);
    if (posts === undefined) return;
    const rest = posts.filter(({ seq }) => seq > through);
    if (rest.length === 0) this.#settled.delete(user);
    else this.#settled.set(user, rest);
    for (const post of posts) if (post.seq <= through) post.tell();
  }

  // ---- entries that no cast has brought

  #fallBehind(user: UserState, through: Seq, isSure = true): void {
    const behind = this.#behind.get(user.user);
    if (behind !== undefined) return this.#readAll(user, behind);
    this.#newBehind(user, through).isSure = isSure;
    this.#readSoon(user);
  }

  #newBehind({ user }: UserState, through: Seq): Behind {
    const behind = { through, held: [], isAwaitingSent: false, isSure: true, isReading: false, cancel: () => {} };
    this.#behind.set(user, behind);
    return behind;
  }

  #readSoon(user: UserState): void {
    const behind = this.#behind.get(user.user);
    if (behind === undefined || behind.isAwaitingSent || behind.isReading) return;
    behind.isReading = true;
    this.#parts.turns
      .run(this.#reading(user, behind))
      .catch((error: unknown) => this.#notRead(user, behind, error))
      .finally(() => (behind.isReading = false));
  }

  /** Page by page, up to the first held entry. */
  *#reading(user: UserState, behind: Behind): Steps<void> {
    const { address } = this;
    while (this.#isBehind(user, behind)) {
      const end = behind.held.length > 0 ? behind.held[0]!.cast.seq - 1 : this.headSeq;
      const limit = Math.min(PAGE_ENTRIES, end - behind.through);
      if (limit === 0 && behind.isSure) return this.#caughtUp(user, behind);
      const viewer = viewerOf(user, address);
      const question = { group: address, viewer, after: behind.through, limit, charactersMax: PAGE_CHARACTERS };
      const answer = yield* answered(this.#parts.router().ask("groupEntries", address, question));
      if (!this.#isBehind(user, behind)) return;
      behind.isSure = true;
      if (limit > 0) this.#tell(user, behind, answer);
      yield;
    }
  }

  #isBehind(user: UserState, behind: Behind): boolean {
    return this.#behind.get(user.user) === behind;
  }

  #tell(user: UserState, behind: Behind, { epoch, frames, from, through }: Answers["groupEntries"]): void {
    if (epoch !== this.epoch || frames.length === 0)
      throw new Error(`${this.address}: entries are of another life, or missing`);
    behind.through = through;
    for (const [at, frame] of frames.entries())
      for (const session of user.sessions) session.entry(this.address, from + 1 + at, frame);
    this.#tellSettled(user.user, through);
  }

  #caughtUp(user: UserState, { through, held }: Behind): void {
    this.#behind.delete(user.user);
    this.#tellSettled(user.user, through);
    this.#showHeld(user, held);
  }

  #notRead(user: UserState, behind: Behind, error: unknown): void {
    if (!this.#isBehind(user, behind)) return;
    if (isNotMember(error)) return this.leaves(user.user, 0);
    this.#parts.logger.warn("entries of a group could not be read", { group: this.address, error });
    this.#lookAgain();
    behind.cancel = this.#parts.clock.after(RETRY_MS, () => this.#readSoon(user));
  }
}

/** The user's timeline has yet to hear of the change; nothing behind it is told. */
const isLastOf = (user: UserId, { change, user: concerned }: GroupFrame): boolean =>
  change === "dissolved" || (change === "left" && concerned === user);
