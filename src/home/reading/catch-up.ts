/**
 * Brings a client from its cursor to the present (G7): everything missed, stream by stream and in order, or an explicit
 * `reset` or `gap`; then the missed receipts.
 *
 * Reads from the log step by step at the reader's speed, and holds nothing in memory. When `read` returns that the
 * present is reached, that holds in this very turn of the event loop: frames that are pushed live from then on continue
 * without a hole.
 */
import type { Clock } from "../../base/clock.ts";
import { answered, type Steps } from "../../base/steps.ts";
import { isGroup, type Address, type GroupAddress } from "../../domain/address.ts";
import { receiptFrame } from "../../protocol/encode.ts";
import type { Cursor, MembershipFrame, ReceiptKind, StreamPosition } from "../../protocol/frames.ts";
import { isNotMember, viewerOf } from "../authorization.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import type { Standing } from "../groups/group-heads.ts";
import type { Answers } from "../messages/ask.ts";
import { ENTRY_BYTES } from "./answer-size.ts";
import { readMembershipHeads, timelineFrame } from "./entry-frames.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import type { Seq } from "../../../storage/types.ts";

/** Entries read from the log at once. */
const READ_ENTRIES = 64;
const STEP_MS = 1;

/**
 * Frames that leave together. Bounded in characters too, since entries may be large and a socket's queue is bounded.
 */
export class CatchUpPage {
  readonly frames: string[] = [];
  readonly #framesMax: number;
  readonly #charactersMax: number;
  readonly #clock: Clock;
  #characters = 0;
  /** Undefined until something was read in this step. */
  #stepEndsAt: number | undefined;

  /** The page exceeds `framesMax` and `charactersMax` by about one frame at most. */
  constructor(framesMax: number, charactersMax: number, clock: Clock) {
    this.#framesMax = framesMax;
    this.#charactersMax = charactersMax;
    this.#clock = clock;
  }

  get isFull(): boolean {
    return this.frames.length >= this.#framesMax || this.#characters >= this.#charactersMax;
  }

  /** How many entries to read for this page. */
  get room(): number {
    return Math.min(READ_ENTRIES, this.#framesMax - this.frames.length);
  }

  /** How many more characters fit. */
  get charactersLeft(): number {
    return this.#charactersMax - this.#characters;
  }

  /** The cost in entries (read-budget.ts): a large text costs as much as several. */
  get work(): number {
    return this.frames.length + this.#characters / ENTRY_BYTES;
  }

  beginStep(): void {
    this.#stepEndsAt = undefined;
  }

  /** Whether this step adds nothing more. Asked before each read and after each frame. Each step adds something. */
  isStepOver(): boolean {
    const now = this.#clock.monotonicMs();
    this.#stepEndsAt ??= now + STEP_MS;
    return this.isFull || now >= this.#stepEndsAt;
  }

  push(frame: string): void {
    this.frames.push(frame);
    this.#characters += frame.length;
  }
}

export class CatchUp {
  readonly #shard: Shard;
  readonly #user: UserState;
  readonly #groups = new Map<GroupAddress, StreamPosition>();
  /**
   * Groups whose shard says that the user has left, while the timeline does not yet. Nothing of them is missed until the
   * timeline tells. The device's position stays: a user who comes back gets what was written before.
   */
  readonly #left = new Set<Address>();
  readonly #resets: string[] = [];
  /** Missed receipts, the next one last. */
  #missed: Missed[] = [];
  #timeline: number;
  #marks: number;

  /** Cheap if the heads of the user's groups have been read. */
  constructor(shard: Shard, user: UserState, cursor: Cursor) {
    this.#shard = shard;
    this.#user = user;
    this.#timeline = this.#validTimeline(cursor);
    // A cursor without marks gets no missed receipts, only those from now on.
    this.#marks = Math.min(cursor.marks ?? user.markCount, user.markCount);
    for (const [address, position] of Object.entries(cursor.groups)) {
      const joined = user.membership(address as GroupAddress);
      const valid = joined && this.#validGroup(joined, position);
      if (valid) this.#groups.set(address as GroupAddress, valid);
    }
  }

  /**
   * Reads as many frames to the page as one step has time for. Waits for what is not in memory.
   * @returns whether these frames reach the present. Never in a step that had to wait: streams that were read before it
   * may have grown.
   */
  *read(page: CatchUpPage): Steps<boolean> {
    page.beginStep();
    for (const reset of this.#resets.splice(0)) page.push(reset);
    if (!(yield* this.#readTimeline(page))) return false;
    for (const conversation of this.#user.conversations.values()) {
      if (page.isFull) return false;
      if (conversation.joinedSeq === 0 || !isGroup(conversation.address)) continue;
      const position = this.#missedOf(page, conversation, conversation.address);
      if (position !== undefined && !(yield* this.#readGroup(page, conversation, position))) return false;
    }
    return this.#readMarks(page);
  }

  /** Reads until the page is full. @returns whether the present is reached, in the step in which this ends */
  *reading(page: CatchUpPage): Steps<boolean> {
    for (;;) {
      if (yield* this.read(page)) return true;
      if (page.isFull) return false;
      yield;
    }
  }

  /** Whether `read` would give a frame. */
  get isBehind(): boolean {
    const { headSeq, markCount, conversations } = this.#user;
    if (this.#timeline < headSeq || this.#marks < markCount) return true;
    for (const { address, joinedSeq, shard } of conversations.values()) {
      if (joinedSeq === 0 || !isGroup(address) || this.#left.has(address)) continue;
      const head = this.#shard.mirrors.head(address, shard, this.#user.user);
      if (!head || joinedSeq < head.bornSeq) continue;
      if ((this.#groups.get(address)?.seq ?? joinedSeq - 1) < head.headSeq) return true;
    }
    return false;
  }

  /** The cursor of a client that has every frame so far. */
  cursor(): Cursor {
    const groups: Cursor["groups"] = {};
    for (const [address, position] of this.#groups)
      if (this.#user.membership(address)) groups[address] = { ...position };
    return { epoch: this.#user.epoch, timeline: this.#timeline, groups, marks: this.#marks };
  }

  #validTimeline(cursor: Cursor): number {
    const { epoch, headSeq } = this.#user;
    if (cursor.timeline === 0 || (cursor.epoch === epoch && cursor.timeline <= headSeq)) return cursor.timeline;
    this.#resets.push(`{"t":"reset"}`);
    return headSeq;
  }

  /**
   * Undefined if the device knows a former life of the group, and this catch-up tells it that the user joined the
   * present life: then it starts there (`#membershipTold`). @param lastSeq of that membership in the timeline
   */
  #validGroup({ address, shard, lastSeq }: ConversationState, position: StreamPosition): StreamPosition | undefined {
    const group = this.#shard.mirrors.head(address as GroupAddress, shard, this.#user.user);
    if (group === undefined) return { ...position };
    const { epoch, bornSeq, headSeq } = group;
    const { seq } = position;
    // A device that has nothing of the group has nothing stale, except that a later life starts at its first entry.
    if (seq === 0 && bornSeq === 1) return { epoch, seq };
    if (position.epoch === epoch && seq >= bornSeq - 1 && seq <= headSeq) return { epoch, seq };
    if (position.epoch !== epoch && seq < bornSeq && this.#willTell(lastSeq)) return undefined;
    this.#resets.push(`{"t":"reset","conversation":"${address}"}`);
    return { epoch, seq: headSeq };
  }

  /** Whether the timeline is behind `seq`, and so little that nothing of it is skipped by a `gap`. */
  #willTell(seq: Seq): boolean {
    return this.#timeline < seq && !this.#isTooFar(this.#timeline, this.#user.headSeq);
  }

  /** @returns whether the timeline was read to its head */
  *#readTimeline(page: CatchUpPage): Steps<boolean> {
    const user = this.#user;
    const from = this.#skipGap(page, undefined, this.#timeline, user.headSeq);
    // The gap may hide what the timeline says of them.
    if (from !== this.#timeline) this.#left.clear();
    this.#timeline = from;
    while (this.#timeline < user.headSeq) {
      if (page.isStepOver()) return false;
      const entries = user.log.readForward(user.address, this.#timeline as Seq, page.room);
      if (entries.length === 0) throw hole(user.address, this.#timeline);
      yield* readMembershipHeads(this.#shard, user, entries);
      // It may have waited. A step that adds nothing would wait for the same groups again.
      if (page.isStepOver()) page.beginStep();
      for (const stored of entries) {
        if (stored.seq > user.headSeq) break;
        const frame = timelineFrame(this.#shard, user, stored);
        page.push(JSON.stringify(frame));
        this.#timeline = stored.seq;
        if (frame.t === "membership") this.#membershipTold(frame);
        if (page.isStepOver()) break;
      }
    }
    return true;
  }

  /**
   * Called for each membership in the timeline.
   *
   * A device that has nothing of the present group starts at the first `joined` of it that it is told, and so does this
   * catch-up. Example: the user joined at 3, left at 4 and came back at 9: the group follows from 3, not from 9. The
   * epoch is empty in a `joined` of a former life, and of a group whose head is not known.
   */
  #membershipTold({ conversation, change, groupSeq, epoch }: MembershipFrame): void {
    const group = conversation as GroupAddress;
    this.#left.delete(group);
    if (change === "left" || epoch === "") return;
    if (this.#groups.get(group)?.epoch !== epoch) this.#groups.set(group, { epoch, seq: groupSeq - 1 });
  }

  /** Where to continue in a group; undefined if nothing of it is missed. */
  #missedOf(
    page: CatchUpPage,
    { joinedSeq, shard }: ConversationState,
    address: GroupAddress,
  ): StreamPosition | undefined {
    const group = this.#shard.mirrors.head(address, shard, this.#user.user);
    if (group === undefined || joinedSeq < group.bornSeq || this.#left.has(address)) return undefined;
    const position = this.#positionIn(group, joinedSeq);
    position.seq = this.#skipGap(page, address, position.seq, group.headSeq);
    return position.seq < group.headSeq ? position : undefined;
  }

  /** @returns whether the group was read to its head, without waiting */
  *#readGroup(page: CatchUpPage, conversation: ConversationState, position: StreamPosition): Steps<boolean> {
    const address = conversation.address as GroupAddress;
    for (;;) {
      const headSeq = this.#shard.mirrors.head(address, conversation.shard, this.#user.user)?.headSeq ?? 0;
      if (position.seq >= headSeq || this.#left.has(address)) return true;
      if (page.isStepOver()) return false;
      const answer = this.#entriesBehind(page, address, position, headSeq);
      const isAtHand = !(answer instanceof Promise);
      const entries = isAtHand ? answer : yield* unlessNotIn(answer);
      if (entries === undefined) this.#left.add(address);
      else if (!this.#add(page, entries, position) && isAtHand) throw hole(address, position.seq);
      if (!isAtHand) return false;
    }
  }

  #entriesBehind(
    page: CatchUpPage,
    group: GroupAddress,
    { seq }: StreamPosition,
    headSeq: number,
  ): GroupEntries | Promise<GroupEntries> | undefined {
    const { room, charactersLeft: charactersMax } = page;
    const viewer = viewerOf(this.#user, group);
    // Entries behind the head are pushed live.
    const limit = Math.min(room, headSeq - seq);
    const question = { group, viewer, after: seq as Seq, limit, charactersMax };
    try {
      return this.#shard.router.ask("groupEntries", group, question);
    } catch (error) {
      if (isNotMember(error)) return undefined;
      throw error;
    }
  }

  /** @returns whether there were entries. Entries of another life of the group are dropped. */
  #add(page: CatchUpPage, { epoch, frames, from, through }: GroupEntries, position: StreamPosition): boolean {
    if (epoch !== position.epoch || from !== position.seq) return false;
    for (const frame of frames) page.push(frame);
    position.seq = through;
    return frames.length > 0;
  }

  /**
   * A group of which neither the cursor nor this catch-up has told the device starts where the user joined it last. So
   * does a group that was created anew since this catch-up began, which may be long ago: the rest of its former life is
   * not shown.
   */
  #positionIn({ address, epoch }: Standing, joinedSeq: Seq): StreamPosition {
    let position = this.#groups.get(address);
    if (position?.epoch !== epoch) {
      position = { epoch, seq: joinedSeq - 1 };
      this.#groups.set(address, position);
    }
    return position;
  }

  #skipGap(page: CatchUpPage, conversation: Address | undefined, from: number, head: number): number {
    if (!this.#isTooFar(from, head)) return from;
    const where = conversation === undefined ? "" : `"conversation":"${conversation}",`;
    page.push(`{"t":"gap",${where}"from":${from + 1},"to":${head}}`);
    return head;
  }

  #isTooFar(from: number, head: number): boolean {
    return head - from > this.#shard.limits.resumeEntriesMax;
  }

  /** @returns whether all missed receipts were told */
  #readMarks(page: CatchUpPage): boolean {
    const user = this.#user;
    while (this.#marks < user.markCount) {
      if (page.isStepOver()) return false;
      if (this.#missed.length === 0) this.#missed = missedReceipts(user, this.#marks);
      const next = this.#missed.pop();
      if (next !== undefined)
        page.push(receiptFrame(next.kind, next.address, next.address.slice(1), next.seq, next.mark));
      this.#marks = next?.mark ?? user.markCount;
    }
    return true;
  }
}

type GroupEntries = Answers["groupEntries"];

/**
 * Undefined if the group's shard knows that the user has left and the timeline does not yet: nothing of it is missed.
 */
function* unlessNotIn<Answer>(answer: Promise<Answer>): Steps<Answer | undefined> {
  try {
    return yield* answered(answer);
  } catch (error) {
    if (isNotMember(error)) return undefined;
    throw error;
  }
}

type Missed = { kind: ReceiptKind; address: Address; seq: Seq; mark: number };

/** Receipts with marks above `after`, the oldest last. */
function missedReceipts({ conversations }: UserState, after: number): Missed[] {
  const missed: Missed[] = [];
  for (const { address, delivered, deliveredMark, seen, seenMark } of conversations.values()) {
    if (deliveredMark > after) missed.push({ kind: "delivered", address, seq: delivered, mark: deliveredMark });
    if (seenMark > after) missed.push({ kind: "read", address, seq: seen, mark: seenMark });
  }
  return missed.sort((a, b) => b.mark - a.mark);
}

/** An error makes the client come back; skipping the hole would lose entries silently. */
const hole = (stream: Address, after: number): Error =>
  new Error(`${stream}: no entry behind ${after}, below the head`);
