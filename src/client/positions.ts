/**
 * The position machine: what this device has of each stream, and what to do with each frame that arrives.
 *
 * It decides "exactly once, in order, without gaps". It is not a queue, does no input or output, and knows no timers.
 * The caller asks `judge` about an entry, hands it to the application when the answer is `next`, and calls `commit`.
 *
 * Invariants
 * - A position only moves by one entry at a time (`commit`), or in a `reset`, or over entries that the server could not
 *   send (`skip`).
 * - Entries above a position have not been handed over; entries at or below it have.
 * - Entries that cannot be placed yet (behind a gap being paged, or of a group whose `membership` has not come) are
 *   held, at most `heldMax`. A new connection drops them, because the server streams them again from the cursor.
 * - A group without a known epoch has no position: a cursor must never claim a history that it cannot name.
 */
import type {
  Cursor,
  EntryFrame,
  GapFrame,
  MembershipFrame,
  SentFrame,
  StreamPosition,
  WelcomeFrame,
} from "../protocol/frames.ts";

/** The key of the timeline. Other streams have their group's address. */
export const TIMELINE = "";
/** A frame with a seq of a stream: an entry, or the ack that represents it on the device that sent it. */
export type Entry = EntryFrame | SentFrame;
export type HeldFrame = Entry | GapFrame;

/**
 * `next`: hand it over, then `commit`. `seen`: at or below the position. `hold`: kept here, returned later as released.
 * `later`: the ack of a repeated send whose entry is still to come. `broken`: an entry is missing, or too many are
 * held; resume from the cursor.
 */
export type Verdict = "next" | "seen" | "hold" | "later" | "broken";

/**
 * Entries up to `through` are being paged. In a reload the first entry may have any seq, because earlier ones are not
 * for this user.
 */
type Missing = { through: number; isReload: boolean };
export type Lost = { from: number; to: number };

export function streamOf(frame: HeldFrame): string {
  switch (frame.t) {
    case "membership":
      return TIMELINE;
    case "group":
      return frame.conversation;
    case "gap":
      return frame.conversation ?? TIMELINE;
    default:
      return frame.conversation.charCodeAt(0) === 35 ? frame.conversation : TIMELINE;
  }
}

export class Positions {
  readonly #from: "now" | "start";
  readonly #heldMax: number;
  #cursor: Cursor | undefined;
  #welcome: WelcomeFrame | undefined;
  #isLive = false;
  #missing = new Map<string, Missing>();
  #held = new Map<string, HeldFrame[]>();
  #heldCount = 0;
  /** Frames that were held before `live`: they count as part of the replay, whenever they are released. */
  #replayed = new WeakSet<HeldFrame>();

  constructor(options: { from: "now" | "start"; heldMax: number }) {
    this.#from = options.from;
    this.#heldMax = options.heldMax;
  }

  /** Call it before the first connection. Without a stored cursor, `from` decides where this device starts. */
  load(stored: Cursor | undefined): void {
    this.#cursor = stored ?? (this.#from === "start" ? { epoch: "", timeline: 0, groups: {}, marks: 0 } : undefined);
  }

  /**
   * The cursor itself, not a copy: the next `commit` changes it. Undefined until the first `welcome` of a device that
   * starts now.
   */
  get cursor(): Cursor | undefined {
    return this.#cursor;
  }

  /** Call it for a new connection: held and paged entries come again. */
  begin(): void {
    this.#welcome = undefined;
    this.#isLive = false;
    this.#missing.clear();
    this.#held.clear();
    this.#heldCount = 0;
  }

  seqOf(stream: string): number | undefined {
    if (this.#cursor === undefined) return undefined;
    return stream === TIMELINE ? this.#cursor.timeline : this.#cursor.groups[stream]?.seq;
  }

  get isPaging(): boolean {
    return this.#missing.size > 0;
  }

  /** Whether frames wait for a `membership` that has not come. */
  get isAwaitingMembership(): boolean {
    for (const stream of this.#held.keys()) if (!this.#missing.has(stream)) return true;
    return false;
  }

  welcome(frame: WelcomeFrame): void {
    this.#welcome = frame;
    if (this.#cursor === undefined) {
      this.#cursor = {
        epoch: frame.epoch,
        timeline: frame.timeline,
        groups: copyPositions(frame.groups),
        marks: frame.marks,
      };
      return;
    }
    this.#cursor.marks ??= frame.marks;
    if (this.#cursor.timeline === 0) this.#cursor.epoch = frame.epoch;
    for (const [group, position] of Object.entries(this.#cursor.groups)) {
      const head = frame.groups[group];
      if (position.seq === 0 && head !== undefined) position.epoch = head.epoch;
    }
  }

  /** `broken` when it comes after `live`: the heads of `welcome` are out of date then, and a resume brings new ones. */
  reset(conversation: string | undefined): "fetch" | "accepted" | "broken" {
    const cursor = this.#cursor;
    if (cursor === undefined || this.#welcome === undefined || this.#isLive) return "broken";
    const stream = conversation ?? TIMELINE;
    const head =
      stream === TIMELINE ? { epoch: this.#welcome.epoch, seq: this.#welcome.timeline } : this.#welcome.groups[stream];
    this.#drop(stream);
    this.#missing.delete(stream);
    if (head === undefined) {
      delete cursor.groups[stream];
      return "accepted";
    }
    const isReload = this.#from === "start" && head.seq > 0;
    this.#place(cursor, stream, { epoch: head.epoch, seq: isReload ? 0 : head.seq });
    if (stream === TIMELINE) cursor.marks = this.#welcome.marks;
    if (!isReload) return "accepted";
    this.#missing.set(stream, { through: head.seq, isReload });
    return "fetch";
  }

  gap(frame: GapFrame): "fetch" | "hold" | "seen" | "broken" {
    const stream = streamOf(frame);
    const seq = this.seqOf(stream);
    if (seq === undefined) return this.#hold(stream, frame);
    if (frame.to <= seq) return "seen";
    const missing = this.#missing.get(stream);
    if (missing !== undefined) {
      missing.through = Math.max(missing.through, frame.to);
      return "seen";
    }
    if (frame.from > seq + 1) return "broken";
    this.#missing.set(stream, { through: frame.to, isReload: false });
    return "fetch";
  }

  judge(frame: Entry, isPaged: boolean): Verdict {
    const stream = streamOf(frame);
    if (isPaged || !this.#missing.has(stream)) this.#beginAgain(stream, frame);
    const seq = this.seqOf(stream);
    if (seq === undefined) return this.#hold(stream, frame);
    if (frame.seq <= seq) return "seen";
    if (!isPaged && this.#missing.size > 0 && this.#missing.has(stream)) return this.#hold(stream, frame);
    if (frame.seq === seq + 1) return "next";
    if (frame.t === "sent" && frame.duplicate === true) return "later";
    return "broken";
  }

  /**
   * A group that was created anew has a new history under the old name. On a live connection it may arrive before the
   * `membership`.
   */
  #beginAgain(stream: string, frame: Entry): void {
    if (frame.t !== "group" || frame.change !== "created" || frame.epoch === undefined) return;
    const position = this.#cursor?.groups[stream];
    if (position === undefined || position.epoch === frame.epoch || frame.seq <= position.seq) return;
    this.#place(this.#cursor!, stream, { epoch: frame.epoch, seq: frame.seq - 1 });
  }

  /** Whether `frame` is the next entry of a stream with a position. Unlike `judge`, it changes nothing. */
  isNext(frame: Entry): boolean {
    const stream = streamOf(frame);
    return frame.seq === (this.seqOf(stream) ?? Number.NaN) + 1 && !this.#missing.has(stream);
  }

  /**
   * For a paged entry above the next one: the server has nothing in between. Moves up to it. Returns the lost range, if
   * those entries should exist.
   */
  skipTo(stream: string, seq: number): Lost | undefined {
    const cursor = this.#cursor;
    const at = this.seqOf(stream);
    const missing = this.#missing.get(stream);
    if (cursor === undefined || at === undefined || missing === undefined || seq <= at + 1) return undefined;
    this.#setSeq(cursor, stream, seq - 1);
    return at === 0 && missing.isReload ? undefined : { from: at + 1, to: seq - 1 };
  }

  /**
   * Moves the position onto `frame`, which was judged `next`. Returns held frames that can be judged again, if there
   * are any.
   */
  commit(frame: Entry, isPaged: boolean): HeldFrame[] | undefined {
    const cursor = this.#cursor;
    if (cursor === undefined) return undefined;
    this.#setSeq(cursor, streamOf(frame), frame.seq);
    if (frame.t !== "membership" || frame.change !== "joined") return undefined;
    return this.#joined(cursor, frame, isPaged);
  }

  /** Undoes the last `commit`, because the application did not accept the message. */
  undo(frame: Entry): void {
    if (this.#cursor !== undefined) this.#setSeq(this.#cursor, streamOf(frame), frame.seq - 1);
  }

  /**
   * After a page: whether the gap is done, and then the held frames behind it. `isLast`: the server has nothing after
   * this page.
   */
  pageEnd(stream: string, isLast: boolean): { isDone: boolean; lost?: Lost; released?: HeldFrame[] } {
    const missing = this.#missing.get(stream);
    const seq = this.seqOf(stream);
    if (missing === undefined || seq === undefined || this.#cursor === undefined) return { isDone: true };
    if (seq < missing.through && !isLast) return { isDone: false };
    this.#missing.delete(stream);
    const released = this.#drop(stream);
    const adopted = stream === TIMELINE && this.#isLive ? this.#adoptGroups() : [];
    const done = { isDone: true, released: released.concat(adopted) };
    if (seq >= missing.through) return done;
    this.#setSeq(this.#cursor, stream, missing.through);
    return { ...done, lost: { from: seq + 1, to: missing.through } };
  }

  live(): HeldFrame[] {
    this.#isLive = true;
    return this.#missing.has(TIMELINE) ? [] : this.#adoptGroups();
  }

  /** @returns whether the counter moved. Receipts are cumulative, so a repeated one does no harm. */
  mark(mark: number | undefined): boolean {
    if (mark === undefined || this.#cursor === undefined || mark <= (this.#cursor.marks ?? 0)) return false;
    this.#cursor.marks = mark;
    return true;
  }

  #joined(cursor: Cursor, frame: MembershipFrame, isPaged: boolean): HeldFrame[] | undefined {
    const group = frame.conversation;
    const known = cursor.groups[group];
    // A group that was dissolved and made again has a new history under the old name. In a replay, only the epoch in
    // `welcome` is today's.
    const isReplay = isPaged || !this.#isLive || this.#replayed.has(frame);
    const isCurrent = !isReplay || this.#welcome?.groups[group]?.epoch === frame.epoch;
    if (known !== undefined && (known.epoch === frame.epoch || !isCurrent)) return undefined;
    cursor.groups[group] = { epoch: frame.epoch, seq: frame.groupSeq - 1 };
    return this.#held.has(group) ? this.#drop(group) : undefined;
  }

  /**
   * At `live` every membership has come. A group still without a position was missing in the stored cursor. It starts
   * where the server started it.
   */
  #adoptGroups(): HeldFrame[] {
    const released: HeldFrame[] = [];
    if (this.#cursor === undefined || this.#welcome === undefined) return released;
    for (const [group, head] of Object.entries(this.#welcome.groups)) {
      if (this.#cursor.groups[group] !== undefined) continue;
      const held = this.#drop(group);
      const first = held[0];
      const seq = first === undefined ? head.seq : (first.t === "gap" ? first.from : first.seq) - 1;
      this.#cursor.groups[group] = { epoch: head.epoch, seq };
      released.push(...held);
    }
    return released;
  }

  #hold(stream: string, frame: HeldFrame): "hold" | "broken" {
    if (this.#heldCount >= this.#heldMax) return "broken";
    if (!this.#isLive) this.#replayed.add(frame);
    const held = this.#held.get(stream);
    if (held === undefined) this.#held.set(stream, [frame]);
    else held.push(frame);
    this.#heldCount++;
    return "hold";
  }

  #drop(stream: string): HeldFrame[] {
    const held = this.#held.get(stream);
    if (held === undefined) return [];
    this.#held.delete(stream);
    this.#heldCount -= held.length;
    return held;
  }

  #place(cursor: Cursor, stream: string, position: StreamPosition): void {
    if (stream !== TIMELINE) cursor.groups[stream] = position;
    else {
      cursor.epoch = position.epoch;
      cursor.timeline = position.seq;
    }
  }

  #setSeq(cursor: Cursor, stream: string, seq: number): void {
    if (stream === TIMELINE) {
      cursor.timeline = seq;
      return;
    }
    const position = cursor.groups[stream];
    if (position !== undefined) position.seq = seq;
  }
}

function copyPositions(groups: Record<string, StreamPosition>): Record<string, StreamPosition> {
  return Object.fromEntries(Object.entries(groups).map(([group, position]) => [group, { ...position }]));
}
