/**
 * From a cursor to the present (G7): everything missed, stream by stream in order, or an explicit `reset` or `gap`, then the receipts missed.
 *
 * Pulls from the log, so it holds nothing in memory and goes at the reader's speed. When `next` finds nothing more it has reached the durable heads of all
 * streams in this very turn of the event loop: from then on what is pushed live continues without a hole.
 */
import { isGroup, type Address, type GroupAddress } from "../domain/address.ts";
import { receiptFrame } from "../protocol/encode.ts";
import type { Cursor, StreamPosition } from "../protocol/frames.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { UserState } from "../shard/user-state.ts";
import type { Seq } from "../../storage/types.ts";
import { groupEntryFrame, timelineFrame } from "./entry-frames.ts";

/** Entries read from the log at once. */
const READ_ENTRIES = 64;

/** Frames gathered for one `next`. Bounded in bytes as well: entries may be large, and a socket's queue is not. */
class Page {
  readonly frames: string[];
  readonly #framesMax: number;
  readonly #charactersMax: number;
  #characters = 0;

  constructor(frames: string[], framesMax: number, charactersMax: number) {
    this.frames = frames;
    this.#framesMax = framesMax;
    this.#charactersMax = charactersMax;
  }

  get isFull(): boolean {
    return this.frames.length >= this.#framesMax || this.#characters >= this.#charactersMax;
  }

  /** How many entries it makes sense to read for it. */
  get room(): number {
    return Math.min(READ_ENTRIES, this.#framesMax - this.frames.length);
  }

  push(frame: string): void {
    this.frames.push(frame);
    this.#characters += frame.length;
  }
}

export class CatchUp {
  readonly #host: ShardHost;
  readonly #user: UserState;
  readonly #groups = new Map<GroupAddress, StreamPosition>();
  readonly #pending: string[] = [];
  #timeline: number;
  #marks: number;

  constructor(host: ShardHost, user: UserState, cursor: Cursor) {
    this.#host = host;
    this.#user = user;
    this.#timeline = this.#validTimeline(cursor);
    // Without marks no missed receipts come; those that come from now on do.
    this.#marks = Math.min(cursor.marks ?? user.markCount, user.markCount);
    for (const [address, position] of Object.entries(cursor.groups)) {
      if (user.membership(address as GroupAddress))
        this.#groups.set(address as GroupAddress, this.#validGroup(address as GroupAddress, position));
    }
  }

  /** The next frames: at most about `framesMax`, and a frame more than `charactersMax`. None when the present is reached. */
  next(framesMax: number, charactersMax: number): string[] {
    const page = new Page(this.#pending.splice(0), framesMax, charactersMax);
    this.#readTimeline(page);
    for (const conversation of this.#user.conversations.values()) {
      if (page.isFull) return page.frames;
      if (conversation.joinedSeq > 0 && isGroup(conversation.address))
        this.#readGroup(page, conversation.address, conversation.joinedSeq);
    }
    if (!page.isFull) this.#readMarks(page);
    return page.frames;
  }

  /** Whether `next` would give something. */
  get isBehind(): boolean {
    const { headSeq, markCount, conversations } = this.#user;
    if (this.#timeline < headSeq || this.#marks < markCount) return true;
    for (const { address, joinedSeq } of conversations.values()) {
      if (joinedSeq === 0 || !isGroup(address)) continue;
      const group = this.#host.groups.get(address);
      if (group && (this.#groups.get(address)?.seq ?? joinedSeq - 1) < group.headSeq) return true;
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
    this.#pending.push(`{"t":"reset"}`);
    return headSeq;
  }

  #validGroup(address: GroupAddress, position: StreamPosition): StreamPosition {
    const group = this.#host.groups.get(address);
    if (group === undefined) return { ...position };
    if (position.seq === 0 || (position.epoch === group.epoch && position.seq <= group.headSeq))
      return { epoch: group.epoch, seq: position.seq };
    this.#pending.push(`{"t":"reset","conversation":"${address}"}`);
    return { epoch: group.epoch, seq: group.headSeq };
  }

  #readTimeline(page: Page): void {
    const user = this.#user;
    this.#timeline = this.#skipGap(page, undefined, this.#timeline, user.headSeq);
    while (this.#timeline < user.headSeq && !page.isFull) {
      const entries = user.log.readForward(user.address, this.#timeline as Seq, page.room);
      if (entries.length === 0) return;
      for (const stored of entries) {
        if (stored.seq > user.headSeq || page.isFull) return;
        page.push(JSON.stringify(timelineFrame(this.#host, user, stored)));
        this.#timeline = stored.seq;
      }
    }
  }

  #readGroup(page: Page, address: GroupAddress, joinedSeq: Seq): void {
    const group = this.#host.groups.get(address);
    if (group === undefined) return;
    const position = this.#positionIn(address, group.epoch, joinedSeq);
    position.seq = this.#skipGap(page, address, position.seq, group.headSeq);
    while (position.seq < group.headSeq && !page.isFull) {
      const entries = group.log.readForward(address, position.seq as Seq, page.room);
      if (entries.length === 0) return;
      for (const stored of entries) {
        if (stored.seq > group.headSeq || page.isFull) return;
        page.push(JSON.stringify(groupEntryFrame(this.#host, group, stored, this.#user.user)));
        position.seq = stored.seq;
      }
    }
  }

  /** A group that the device knew nothing of begins where the user joined it. */
  #positionIn(address: GroupAddress, epoch: string, joinedSeq: Seq): StreamPosition {
    let position = this.#groups.get(address);
    if (position === undefined) {
      position = { epoch, seq: joinedSeq - 1 };
      this.#groups.set(address, position);
    }
    return position;
  }

  #skipGap(page: Page, conversation: Address | undefined, from: number, head: number): number {
    if (head - from <= this.#host.limits.resumeEntriesMax) return from;
    const where = conversation === undefined ? "" : `"conversation":"${conversation}",`;
    page.push(`{"t":"gap",${where}"from":${from + 1},"to":${head}}`);
    return head;
  }

  #readMarks(page: Page): void {
    const { markCount, conversations } = this.#user;
    const seen = this.#marks;
    if (seen >= markCount) return;
    const missed: { mark: number; frame: string }[] = [];
    for (const { address, delivered, deliveredMark, seen: read, seenMark } of conversations.values()) {
      const by = address.slice(1);
      if (deliveredMark > seen)
        missed.push({ mark: deliveredMark, frame: receiptFrame("delivered", address, by, delivered, deliveredMark) });
      if (seenMark > seen) missed.push({ mark: seenMark, frame: receiptFrame("read", address, by, read, seenMark) });
    }
    missed.sort((a, b) => a.mark - b.mark);
    for (const { mark, frame } of missed) {
      if (page.isFull) return;
      page.push(frame);
      this.#marks = mark;
    }
    this.#marks = markCount;
  }
}
