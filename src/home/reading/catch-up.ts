/**
 * From a cursor to the present (G7): everything missed, stream by stream in order, or an explicit `reset` or `gap`, then the receipts missed.
 *
 * Pulls from the log, so it holds nothing in memory and goes at the reader's speed, a step at a time. When `read` says that the present is reached, the durable heads of all
 * streams are reached in this very turn of the event loop: from then on what is pushed live continues without a hole.
 */
import type { Clock } from "../../base/clock.ts";
import { answered, type Steps } from "../../base/steps.ts";
import { isGroup, type Address, type GroupAddress } from "../../domain/address.ts";
import { receiptFrame } from "../../protocol/encode.ts";
import type { Cursor, ReceiptKind, StreamPosition } from "../../protocol/frames.ts";
import { isNotMember, viewerOf } from "../authorization.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import type { Standing } from "../groups/group-heads.ts";
import type { Answers } from "../messages/ask.ts";
import { ENTRY_BYTES } from "./answer-size.ts";
import { timelineFrame } from "./entry-frames.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import type { Seq } from "../../../storage/types.ts";

/** Entries read from the log at once. */
const READ_ENTRIES = 64;
const STEP_MS = 1;

/** Frames that leave together. Bounded in bytes as well: entries may be large, and a socket's queue is not. */
export class CatchUpPage {
  readonly frames: string[] = [];
  readonly #framesMax: number;
  readonly #charactersMax: number;
  readonly #clock: Clock;
  #characters = 0;
  /** Undefined before anything was read in it. */
  #stepEndsAt: number | undefined;

  /** At most about `framesMax` frames, and a frame more than `charactersMax`. */
  constructor(framesMax: number, charactersMax: number, clock: Clock) {
    this.#framesMax = framesMax;
    this.#charactersMax = charactersMax;
    this.#clock = clock;
  }

  get isFull(): boolean {
    return this.frames.length >= this.#framesMax || this.#characters >= this.#charactersMax;
  }

  /** How many entries it makes sense to read for it. */
  get room(): number {
    return Math.min(READ_ENTRIES, this.#framesMax - this.frames.length);
  }

  /** Characters of frames that are missing to make it full. */
  get charactersLeft(): number {
    return this.#charactersMax - this.#characters;
  }

  /** What it cost, in entries (read-budget.ts): a large text costs as much as several. */
  get work(): number {
    return this.frames.length + this.#characters / ENTRY_BYTES;
  }

  beginStep(): void {
    this.#stepEndsAt = undefined;
  }

  /** Asked before each read and behind each frame: whether nothing more goes into it in this step. Something always does. */
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
  readonly #resets: string[] = [];
  /** Receipts to tell, the next one last. */
  #missed: Missed[] = [];
  #timeline: number;
  #marks: number;

  /** Cheap when the heads of the user's groups have been read. */
  constructor(shard: Shard, user: UserState, cursor: Cursor) {
    this.#shard = shard;
    this.#user = user;
    this.#timeline = this.#validTimeline(cursor);
    // Without marks no missed receipts come; those that come from now on do.
    this.#marks = Math.min(cursor.marks ?? user.markCount, user.markCount);
    for (const [address, position] of Object.entries(cursor.groups)) {
      const joined = user.membership(address as GroupAddress);
      const valid = joined && this.#validGroup(joined, position);
      if (valid) this.#groups.set(address as GroupAddress, valid);
    }
  }

  /**
   * Reads the next frames to the page, as many as one step has time for. What is not at hand it waits for.
   * @returns whether the present is reached, with them; never in a step that had to wait: streams that were read before may have gone on
   */
  *read(page: CatchUpPage): Steps<boolean> {
    page.beginStep();
    for (const reset of this.#resets.splice(0)) page.push(reset);
    if (!this.#readTimeline(page)) return false;
    for (const conversation of this.#user.conversations.values()) {
      if (page.isFull) return false;
      if (conversation.joinedSeq === 0 || !isGroup(conversation.address)) continue;
      const position = this.#missedOf(page, conversation, conversation.address);
      if (position !== undefined && !(yield* this.#readGroup(page, conversation, position))) return false;
    }
    return this.#readMarks(page);
  }

  /** Reads until the page is full. In the step in which it ends, and in no other, the present may have been reached. @returns whether it was */
  *reading(page: CatchUpPage): Steps<boolean> {
    for (;;) {
      if (yield* this.read(page)) return true;
      if (page.isFull) return false;
      yield;
    }
  }

  /** Whether `read` would give something. */
  get isBehind(): boolean {
    const { headSeq, markCount, conversations } = this.#user;
    if (this.#timeline < headSeq || this.#marks < markCount) return true;
    for (const { address, joinedSeq, shard } of conversations.values()) {
      if (joinedSeq === 0 || !isGroup(address)) continue;
      const head = this.#shard.mirrors.head(address, shard, this.#user.user);
      if (!head || joinedSeq < head.bornSeq) continue;
      if ((this.#groups.get(address)?.seq ?? joinedSeq - 1) < head.headSeq) return true;
    }
    return false;
  }

  /** What whoever got all frames so far has. */
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
   * Undefined when the device has a former life of the group, and this catch-up tells it that the user joined the present one: it begins there.
   * @param lastSeq where the timeline says so
   */
  #validGroup({ address, shard, lastSeq }: ConversationState, position: StreamPosition): StreamPosition | undefined {
    const group = this.#shard.mirrors.head(address as GroupAddress, shard, this.#user.user);
    if (group === undefined) return { ...position };
    const { epoch, bornSeq, headSeq } = group;
    const { seq } = position;
    // Nothing is stale about nothing, but of a later life nothing is before its beginning.
    if (seq === 0 && bornSeq === 1) return { epoch, seq };
    if (position.epoch === epoch && seq >= bornSeq - 1 && seq <= headSeq) return { epoch, seq };
    if (position.epoch !== epoch && seq < bornSeq && this.#timeline < lastSeq) return undefined;
    this.#resets.push(`{"t":"reset","conversation":"${address}"}`);
    return { epoch, seq: headSeq };
  }

  /** @returns whether all of it was read */
  #readTimeline(page: CatchUpPage): boolean {
    const user = this.#user;
    this.#timeline = this.#skipGap(page, undefined, this.#timeline, user.headSeq);
    while (this.#timeline < user.headSeq) {
      if (page.isStepOver()) return false;
      const entries = user.log.readForward(user.address, this.#timeline as Seq, page.room);
      if (entries.length === 0) throw hole(user.address, this.#timeline);
      for (const stored of entries) {
        if (stored.seq > user.headSeq) break;
        page.push(JSON.stringify(timelineFrame(this.#shard, user, stored)));
        this.#timeline = stored.seq;
        if (page.isStepOver()) break;
      }
    }
    return true;
  }

  /** Where it goes on in a group; undefined when nothing of it is missed. */
  #missedOf(
    page: CatchUpPage,
    { joinedSeq, shard }: ConversationState,
    address: GroupAddress,
  ): StreamPosition | undefined {
    const group = this.#shard.mirrors.head(address, shard, this.#user.user);
    if (group === undefined || joinedSeq < group.bornSeq) return undefined;
    const position = this.#positionIn(group, joinedSeq);
    position.seq = this.#skipGap(page, address, position.seq, group.headSeq);
    return position.seq < group.headSeq ? position : undefined;
  }

  /** @returns whether all of it was read, and at once */
  *#readGroup(page: CatchUpPage, conversation: ConversationState, position: StreamPosition): Steps<boolean> {
    const address = conversation.address as GroupAddress;
    for (;;) {
      const headSeq = this.#shard.mirrors.head(address, conversation.shard, this.#user.user)?.headSeq ?? 0;
      if (position.seq >= headSeq) return true;
      if (page.isStepOver()) return false;
      const answer = this.#entriesBehind(page, address, position, headSeq);
      const isAtHand = !(answer instanceof Promise);
      const entries = isAtHand ? answer : yield* unlessNotIn(answer);
      if (entries === undefined) position.seq = Math.max(position.seq, headSeq);
      else if (!this.#take(page, entries, position) && isAtHand) throw hole(address, position.seq);
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
    // What is behind the head is pushed.
    const limit = Math.min(room, headSeq - seq);
    const question = { group, viewer, after: seq as Seq, limit, charactersMax };
    try {
      return this.#shard.router.ask("groupEntries", group, question);
    } catch (error) {
      if (isNotMember(error)) return undefined;
      throw error;
    }
  }

  /** @returns whether there were some; those of another life of the group are not what was asked for */
  #take(page: CatchUpPage, { epoch, frames, from, through }: GroupEntries, position: StreamPosition): boolean {
    if (epoch !== position.epoch || from !== position.seq) return false;
    for (const frame of frames) page.push(frame);
    position.seq = through;
    return frames.length > 0;
  }

  /**
   * A group that the device knew nothing of begins where the user joined it. So does one that was created anew since this
   * began, which may be long ago: nobody is shown the rest of a former life, and the timeline has told of the new one.
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
    if (head - from <= this.#shard.limits.resumeEntriesMax) return from;
    const where = conversation === undefined ? "" : `"conversation":"${conversation}",`;
    page.push(`{"t":"gap",${where}"from":${from + 1},"to":${head}}`);
    return head;
  }

  /** @returns whether all were told */
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

/** Undefined when the group's shard knows that the user has left, and the timeline does not yet: nothing of it is missed. */
function* unlessNotIn<Answer>(answer: Promise<Answer>): Steps<Answer | undefined> {
  try {
    return yield* answered(answer);
  } catch (error) {
    if (isNotMember(error)) return undefined;
    throw error;
  }
}

type Missed = { kind: ReceiptKind; address: Address; seq: Seq; mark: number };

/** With marks above `after`, the oldest last. */
function missedReceipts({ conversations }: UserState, after: number): Missed[] {
  const missed: Missed[] = [];
  for (const { address, delivered, deliveredMark, seen, seenMark } of conversations.values()) {
    if (deliveredMark > after) missed.push({ kind: "delivered", address, seq: delivered, mark: deliveredMark });
    if (seenMark > after) missed.push({ kind: "read", address, seq: seen, mark: seenMark });
  }
  return missed.sort((a, b) => b.mark - a.mark);
}

/** Whoever catches up is rather told to come back than left with a hole. */
const hole = (stream: Address, after: number): Error =>
  new Error(`${stream}: no entry behind ${after}, below the head`);
