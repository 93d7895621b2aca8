/**
 * A user at home: the fold of the user's stream (fold/), and the user's connected sessions. One per user, at the owner
 * of the user's shard.
 *
 * Not here: commands (send-direct.ts, marks.ts …), durability (the log), frames.
 *
 * Invariants
 * - `headSeq` and all conversations show durable entries only; `nextSeq` also counts entries on their way.
 * - A state with so many new entries that the next flush writes derived cells stays loaded: the flush asks it for them.
 * - Only fold/ changes durable fields, in live commits as in a load.
 * - After a crash it is loaded again: cells, then the entries that the derived cells do not count.
 */
import type { Steps } from "../../base/steps.ts";
import type { TokenBucket } from "../../base/token-bucket.ts";
import { isGroup, type Address, type GroupAddress, type UserAddress, type UserId } from "../../domain/address.ts";
import { RecentRefs } from "../../domain/refs.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import type { Seq } from "../../../storage/types.ts";
import { epochOf, readProfile } from "./account-cells.ts";
import { CELLS_LAG_MAX } from "./cells.ts";
import { ConversationState } from "./conversation-state.ts";
import { Conversations } from "./conversations.ts";
import type { ErasedBytes } from "../erasing/erasure.ts";
import { conversationCell, readUserHead, userHeadCell } from "../fold/derived-cells.ts";
import { foldTimelineEntry } from "../fold/timeline.ts";
import { foldTimelineCell } from "../fold/timeline-cells.ts";
import { RefusedAddresses } from "../sending/refused-addresses.ts";
import type { PendingSend } from "../sending/pending-send.ts";
import type { PostedBytes } from "../sending/posted-bytes.ts";
import type { RefusalState } from "../refusals.ts";
import type { Session } from "../session.ts";
import { beginLoad, readCells, readEntries, type StreamLoad } from "./stream-load.ts";
import { newestTaken, UndeliveredQueue } from "./undelivered-queue.ts";

/** Of everybody who is not connected. */
export const NO_SESSIONS: readonly Session[] = [];

/** Measured on the heap of a server (bench/memory.ts); the user's records in memtables are not in it. */
const USER_BYTES = 1100;
const CONVERSATION_BYTES = 450;
const UNDELIVERED_BYTES = 56;
const REF_BYTES = 150;

export class UserState {
  readonly user: UserId;
  readonly address: UserAddress;
  readonly log: ShardLog;
  /** Kept by the table that it is in. */
  heldBytes = 0;
  readonly handle: StreamHandle;
  readonly epoch: string;
  readonly conversations = new Conversations();
  /** Only `connected.ts` replaces it. Nearly all users have one session: a set of one takes 400 bytes more. */
  sessions: readonly Session[] = NO_SESSIONS;
  readonly recentRefs: RecentRefs;
  /** Sends numbered and not yet durable, oldest first. */
  readonly pendingSends: PendingSend[] = [];
  /** Sends that wait for another shard before they are numbered. Meanwhile the user stays in memory. */
  waitingSends = 0;
  undelivered = new UndeliveredQueue(0 as Seq);
  headSeq: Seq;
  nextSeq = 0 as Seq;
  /** Rank of the newest direct message. */
  lastRank = 0;
  /** Rank of the newest numbered direct message. */
  rankPending = 0;
  /** How far a device of the user has the timeline. */
  received = 0 as Seq;
  receivedPending = 0 as Seq;
  /**
   * `received` as of the records that were appended; between it and `receivedPending` marks wait for the peers'
   * records.
   */
  receivedAppended = 0 as Seq;
  markCount = 0;
  markCountPending = 0;
  /** Marks of this user, or told to this user, that are on their way to the log. */
  pendingMarks = 0;
  isDirty = false;
  /** Conversations that changed since derived cells were last written. */
  #dirtyConversations: ConversationState[] = [];
  #cellsThrough: Seq;
  /** When something of the timeline was erased last; 0: never. */
  erasedAt = 0;
  /** Rises with each erasure that is folded. */
  erasures = 0;
  /**
   * Resolves, and never rejects, when the erasure on its way to the log has ended. Until then nothing else is erased.
   */
  erasing: Promise<void> | undefined;
  /** Bytes of text of the direct messages that the user sent and that are not erased, if `isSentCounted`. */
  sentBytes = 0;
  /** False for a timeline of a version that did not count, until it is counted (stored-counts.ts). */
  isSentCounted = false;
  /** Bytes of the user's posts in all groups; undefined until they are first asked for. */
  posted: PostedBytes | undefined;
  /** Of `pendingSends`. */
  bytesOnTheWay = 0;
  /** Monotonic time before which the sum is not computed again. */
  addUpAgainAt = Number.NEGATIVE_INFINITY;
  /** Monotonic time, ms, at which a request to erase was finished since this was loaded. */
  erasureEndedMs = Number.NEGATIVE_INFINITY;
  /** Token bucket of sends; filled up to `sendTokensAt`. */
  sendTokens = 0;
  sendTokensAt = Number.NEGATIVE_INFINITY;
  sendRefusedUntil = 0;
  /** What posts to groups may cause; created by the first post that is not free (src/home/sending/fan-out.ts). */
  fanOut: TokenBucket | undefined;
  quotaRefusedUntil = 0;
  readonly refusedAddresses = new RefusedAddresses();
  /** The state of the node that refuses writes; undefined if the user sent too much. */
  refusedFor: RefusalState | undefined;

  /** The user if it exists, otherwise undefined. `nowMs` is monotonic. */
  static *load(user: UserId, address: UserAddress, log: ShardLog, nowMs: number): Steps<UserState | undefined> {
    const load = beginLoad(log, address);
    const profile = load?.snapshot.cell("profile");
    if (load === undefined || profile === undefined) return undefined;
    const epoch = epochOf(address, readProfile(user, profile), load.snapshot.cell("epoch"));
    const state = new UserState(user, address, log, load, epoch, nowMs);
    yield* readCells(load, (key, cell) => foldTimelineCell(state, key, cell));
    yield* readEntries(log, address, load, (entry) => foldTimelineEntry(state, entry));
    state.#endLoad();
    return state;
  }

  private constructor(
    user: UserId,
    address: UserAddress,
    log: ShardLog,
    { snapshot, head, derivedThrough }: StreamLoad,
    epoch: string,
    nowMs: number,
  ) {
    this.user = user;
    this.address = address;
    this.log = log;
    this.epoch = epoch;
    this.handle = new StreamHandle(address, snapshot.head);
    this.headSeq = this.#cellsThrough = derivedThrough;
    readUserHead(this, head);
    this.recentRefs = new RecentRefs(nowMs);
  }

  conversation(address: Address): ConversationState {
    let conversation = this.conversations.get(address);
    if (conversation === undefined) {
      conversation = new ConversationState(address);
      this.conversations.add(conversation);
    }
    return conversation;
  }

  /** The membership of a group; undefined if the user is not in it. */
  membership(group: Address): ConversationState | undefined {
    const conversation = this.conversations.get(group);
    return conversation !== undefined && conversation.joinedSeq > 0 ? conversation : undefined;
  }

  /**
   * Whether it can be dropped and loaded again. What changed since the last flush is needed by the next one, unless
   * that would not write derived cells yet.
   */
  get isIdle(): boolean {
    return (
      this.sessions.length === 0 &&
      this.nextSeq === this.headSeq + 1 &&
      this.pendingSends.length === 0 &&
      this.waitingSends === 0 &&
      this.pendingMarks === 0 &&
      !(this.isDirty && this.#hasCellsToWrite)
    );
  }

  /** Estimated memory. */
  get bytes(): number {
    const { conversations, undelivered, recentRefs } = this;
    return (
      USER_BYTES +
      conversations.size * CONVERSATION_BYTES +
      undelivered.size * UNDELIVERED_BYTES +
      recentRefs.size * REF_BYTES
    );
  }

  get #hasCellsToWrite(): boolean {
    return this.headSeq - this.#cellsThrough >= CELLS_LAG_MAX;
  }

  /** Those that the user is a member of. */
  *groups(): Generator<GroupAddress> {
    for (const { address, joinedSeq } of this.conversations.values())
      if (joinedSeq > 0 && isGroup(address)) yield address;
  }

  /** Removes a send that will not become durable. */
  forgetPending(send: PendingSend): void {
    const at = this.pendingSends.indexOf(send);
    if (at < 0) return;
    this.pendingSends.splice(at, 1);
    this.bytesOnTheWay -= send.textBytes;
  }

  /** The newest pending send with this ref. */
  pendingSend(ref: string): PendingSend | undefined {
    for (let at = this.pendingSends.length - 1; at >= 0; at--) {
      const send = this.pendingSends[at]!;
      if (send.ref === ref) return send;
    }
    return undefined;
  }

  /** The counts in the cells may be wrong: count anew. */
  forgetCount(): void {
    this.isSentCounted = false;
  }

  /**
   * Bytes of text that the user wrote and that are not erased, including those on their way to the log; undefined if
   * not known yet.
   */
  get storedBytes(): number | undefined {
    if (!this.isSentCounted || this.posted?.isCounted !== true) return undefined;
    return this.sentBytes + this.posted.sum + this.bytesOnTheWay;
  }

  /** The conversation's derived cell has to be written again. */
  touch(conversation: ConversationState): void {
    this.isDirty = true;
    if (conversation.isDirty) return;
    conversation.isDirty = true;
    this.#dirtyConversations.push(conversation);
  }

  /** Derived cells for a flush to write, if enough entries have come. */
  writeCellsForFlush(write: (key: string, value: Uint8Array | null) => void): void {
    if (this.#hasCellsToWrite) this.#writeDerivedCells(write);
    this.isDirty = false;
  }

  /**
   * Derived cells of what changed since a flush last wrote them, minus what is about to be erased, as `[key, value]`.
   */
  derivedCells(erased?: ErasedBytes): [string, Uint8Array][] {
    const sentBytes = Math.max(0, this.sentBytes - (erased?.sentBytes ?? 0));
    const cells: [string, Uint8Array][] = [["head", userHeadCell(this, sentBytes)]];
    for (const conversation of this.#dirtyConversations)
      cells.push([`conv/${conversation.address}`, conversationCell(conversation)]);
    return cells;
  }

  /** As of a group (group-state.ts). */
  writesAgain(): () => void {
    const conversations = this.#dirtyConversations;
    return () => {
      for (const conversation of conversations) this.touch(conversation);
    };
  }

  /** Writes all derived cells; after an error none counts as written. */
  #writeDerivedCells(write: (key: string, value: Uint8Array | null) => void): void {
    for (const [key, value] of this.derivedCells()) write(key, value);
    this.#cellsThrough = this.headSeq;
    for (const conversation of this.#dirtyConversations) conversation.isDirty = false;
    this.#dirtyConversations = [];
  }

  #endLoad(): void {
    for (const conversation of this.conversations.values()) conversation.endLoad();
    this.markCountPending = this.markCount;
    this.rankPending = this.lastRank;
    this.receivedPending = this.receivedAppended = this.received;
    this.isDirty = false;
    this.nextSeq = (this.headSeq + 1) as Seq;
    this.undelivered = new UndeliveredQueue(newestTaken(this.conversations.values()));
  }
}
