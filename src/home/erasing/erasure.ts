/**
 * Erases entries of one stream: one record makes them tombstones and carries the derived cells of all that they meant.
 *
 * Not here: which entries are erased (retention.ts, erase-content.ts), and when their bytes leave the files
 * (`LogStore.eraseNow`).
 *
 * Invariants
 * - A tombstone is never folded. The record of an erasure carries every derived cell that the state files may lack, as
 *   of the durable head, and erases nothing above that head. So a later load, from what remains of log and files,
 *   begins to fold behind the erased entries. Therefore nothing is erased during a flush of the shard: until the flush
 *   ends, its cells are in neither place.
 * - One erasure of a stream at a time: the next one reads what the one before left.
 * - Memberships and changes of groups are never erased: they define the members and the name.
 * - A ref stands for its message for ever (G2): refs of erased entries are kept as separate keys.
 * - Of the peer's messages in a conversation the oldest are erased first, so one number tells how many of them cannot
 *   be unread any more.
 *
 * After a crash the record is in the log as a whole or not at all.
 */
import { assert } from "../../base/assert.ts";
import { AppError } from "../../base/errors.ts";
import { type Address, type UserId } from "../../domain/address.ts";
import { erasedKey } from "../../domain/refs.ts";
import {
  POSTED_LANE,
  readGroupEntry,
  readTimelineEntry,
  type PostedEntry,
  type SentEntry,
  type TakenEntry,
} from "../../domain/entries.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import type { Seq, StoredEntry } from "../../../storage/types.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import { foldGroupErasure } from "../fold/group-cells.ts";
import { foldErasure, foldGone } from "../fold/timeline-cells.ts";
import { GroupState } from "../state/group-state.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import { unknownFate } from "../sending/settle-send.ts";
import { tellAuthors } from "../sending/stored-counts.ts";

const NOTHING = new Uint8Array(0);
/** Entries of a page, which is read, judged and erased in one turn of the event loop. */
export const ERASE_PAGE = 256;
const LOOK_AGAIN_MS = 20;
const FLUSH_WAIT_MS = 60_000;

type Range = { lane: string | undefined; from: Seq; to: Seq };
type Gone = { conversation: ConversationState; seq: Seq; incoming: number };

/** Erased bytes of text: of the messages that the owner of the timeline sent, or of each author in a group. */
export type ErasedBytes = { readonly sentBytes: number; readonly postedBytes: ReadonlyMap<UserId, number> };

/** The entries of one page that are erased, and what they meant. */
export class Erasure implements ErasedBytes {
  readonly #ranges: Range[] = [];
  readonly #refs: { ref: string; seq: Seq }[] = [];
  readonly #gone = new Map<ConversationState, Gone>();
  /** Erased messages that still had a text. */
  entries = 0;
  sentBytes = 0;
  readonly postedBytes = new Map<UserId, number>();

  get isEmpty(): boolean {
    return this.entries === 0;
  }

  get ranges(): readonly Range[] {
    return this.#ranges;
  }

  get refs(): readonly { ref: string; seq: Seq }[] {
    return this.#refs;
  }

  get gone(): Iterable<Gone> {
    return this.#gone.values();
  }

  /**
   * Adds an entry that has a payload. `isNext`: extends the last range to it, since only tombstones and entries of
   * other lanes lie between.
   * @param lane undefined if the range covers all lanes
   * @param ref of a message that the owner of the stream sent, otherwise empty
   */
  add(seq: Seq, lane: string | undefined, isNext: boolean, ref = ""): void {
    this.entries++;
    const last = this.#ranges.at(-1);
    if (isNext && last !== undefined) last.to = seq;
    else this.#ranges.push({ lane, from: seq, to: seq });
    if (ref !== "") this.#refs.push({ ref, seq });
  }

  /** The message was sent by the owner of the timeline. */
  sent({ text }: SentEntry): void {
    this.sentBytes += Buffer.byteLength(text);
  }

  /** The message was posted in a group. */
  posted({ author, text }: PostedEntry): void {
    this.postedBytes.set(author, (this.postedBytes.get(author) ?? 0) + Buffer.byteLength(text));
  }

  /** The message was the peer's. */
  fromPeer(conversation: ConversationState, seq: Seq, { ordinal }: TakenEntry): void {
    if (seq > conversation.goneSeq) this.#gone.set(conversation, { conversation, seq, incoming: ordinal });
  }
}

/** Erase the message, keep it, or keep it with everything behind it. */
export type Verdict = "erase" | "keep" | "end";

/** A page of a stream, judged. */
export type Page = {
  erasure: Erasure;
  /** The last entry that was judged, of whatever kind. */
  through: Seq;
  /** Whether nothing behind the page is to be judged. */
  isLast: boolean;
};

/**
 * Judges messages of a timeline behind `after` and through `end`: of one lane, or of all. Called in the turn of the
 * event loop that erases them.
 */
export function gatherDirect(
  user: UserState,
  lane: Address | undefined,
  after: Seq,
  end: Seq,
  judge: (message: SentEntry | TakenEntry) => Verdict,
): Page {
  const { log, address } = user;
  const found =
    lane === undefined
      ? log.readForward(address, after, ERASE_PAGE)
      : log.readLaneForward(address, lane, after, ERASE_PAGE);
  return gather(found, after, end, (stored, erasure, isNext) => {
    const entry = readTimelineEntry(stored);
    if (entry.kind === "membership" || entry.kind === "erased") return "keep";
    const verdict = judge(entry);
    if (verdict !== "erase") return verdict;
    erasure.add(stored.seq, lane, isNext, entry.kind === "sent" ? stored.key : "");
    if (entry.kind === "sent") erasure.sent(entry);
    else erasure.fromPeer(user.conversation(stored.lane as Address), stored.seq, entry);
    return verdict;
  });
}

/** The same for messages of a group. */
export function gatherPosted(group: GroupState, after: Seq, end: Seq, judge: (message: PostedEntry) => Verdict): Page {
  const found = group.log.readLaneForward(group.address, POSTED_LANE, after, ERASE_PAGE);
  return gather(found, after, end, (stored, erasure, isNext) => {
    const entry = readGroupEntry(stored);
    if (entry.kind !== "posted") return "keep";
    const verdict = judge(entry);
    if (verdict !== "erase") return verdict;
    erasure.add(stored.seq, POSTED_LANE, isNext);
    erasure.posted(entry);
    return verdict;
  });
}

function gather(
  found: StoredEntry[],
  after: Seq,
  end: Seq,
  judgeEntry: (stored: StoredEntry, erasure: Erasure, isNext: boolean) => Verdict,
): Page {
  const page: Page = { erasure: new Erasure(), through: after, isLast: found.length < ERASE_PAGE };
  let isNext = false;
  for (const stored of found) {
    if (stored.seq > end) return { ...page, isLast: true };
    // A range may span tombstones, but no other entry that stays.
    if (stored.payload.length > 0) {
      const verdict = judgeEntry(stored, page.erasure, isNext);
      if (verdict === "end") return { ...page, isLast: true };
      isNext = verdict === "erase";
    }
    page.through = stored.seq;
  }
  return page;
}

/**
 * What to await before the stream can be erased from; undefined if it can be erased from in this turn of the event
 * loop. The caller asks again after waiting.
 */
export function unlessErasable(
  shard: Shard,
  { log, erasing }: UserState | GroupState,
  isStopped: () => boolean,
): Promise<void> | undefined {
  return log.isFlushing ? flushed(shard, log, isStopped) : erasing;
}

/** Waits for a flush of the shard. Another flush may begin before the caller continues. */
async function flushed({ clock }: Shard, log: ShardLog, isStopped: () => boolean): Promise<void> {
  const giveUpAt = clock.monotonicMs() + FLUSH_WAIT_MS;
  while (log.isFlushing) {
    if (isStopped() || clock.monotonicMs() > giveUpAt)
      throw new AppError("unavailable", "the shard is being flushed; erase again later");
    await new Promise<void>((resolve) => void clock.after(LOOK_AGAIN_MS, resolve));
  }
}

/**
 * Appends the record, in the turn of the event loop that read its entries. Resolves when the record is durable and no
 * reader is shown the entries any more.
 * @param more further operations of the same record
 */
export function eraseEntries(
  shard: Shard,
  state: UserState | GroupState,
  erasure: Erasure,
  more: () => void = () => {},
): Promise<void> {
  const { log, handle } = state;
  assert(!log.isFlushing && state.erasing === undefined, `${state.address} can be erased from`);
  const at = shard.clock.now();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let writeAgain = (): void => {};
  log.append({
    encode() {
      for (const { lane, from, to } of erasure.ranges) log.erase(handle, lane, from, to);
      for (const { ref, seq } of erasure.refs) log.putKey(handle, erasedKey(ref), seq, NOTHING);
      for (const [key, value] of state.derivedCells(erasure)) log.putCell(handle, key, value);
      writeAgain = state.writesAgain();
      for (const { conversation, seq, incoming } of erasure.gone)
        log.putNumbers(handle, `gone/${conversation.address}`, seq, incoming);
      log.putNumbers(handle, "erased", at);
      more();
    },
    committed() {
      state.pendingMarks--;
      state.erasing = undefined;
      shard.erasedFiles.erased(erasure.ranges.length);
      if (state instanceof GroupState) foldGroupErasure(state, at, erasure.postedBytes);
      else foldErasure(state, at, erasure.sentBytes);
      for (const { conversation, seq, incoming } of erasure.gone) foldGone(conversation, seq, incoming);
      writeAgain();
      if (state instanceof GroupState) tellAuthors(shard, state, erasure.postedBytes.keys());
      resolve();
    },
    failed(error) {
      state.erasing = undefined;
      reject(unknownFate(error));
    },
  });
  state.erasing = promise.catch(() => {});
  // The state stays in memory until the erasure is durable.
  state.pendingMarks++;
  return promise;
}
