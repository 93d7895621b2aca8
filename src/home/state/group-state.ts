/**
 * A group at the owner of its shard: the fold of the group's log (fold/). One per group.
 *
 * A group is over when it was dissolved or its last member has left. Then anybody may create a group of that id anew.
 * The new life continues in the same log with the next seq, but has another epoch, other members, and nothing of the
 * former life.
 *
 * Invariants: as in user-state.ts. Members see the log from `bornSeq` on, including what stands before they joined. A
 * former member sees nothing.
 */
import type { Steps } from "../../base/steps.ts";
import type { GroupAddress, UserId } from "../../domain/address.ts";
import type { GroupRole } from "../../protocol/frames.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import type { Seq } from "../../../storage/types.ts";
import { CELLS_LAG_MAX } from "./cells.ts";
import type { GroupPost } from "../sending/accept-post.ts";
import type { AuthorPosts } from "../sending/author-posts.ts";
import type { ErasedBytes } from "../erasing/erasure.ts";
import { AuthorBytes } from "../fold/author-bytes.ts";
import { groupHeadCell, memberCell, readGroupHead } from "../fold/derived-cells.ts";
import { foldGroupEntry } from "../fold/group.ts";
import { epochIn, FIRST_BORN, foldGroupCell } from "../fold/group-cells.ts";
import type { MemberMark } from "../marks/member-mark.ts";
import { beginLoad, readCells, readEntries, type StreamLoad } from "./stream-load.ts";

export type Member = { role: GroupRole; joinedSeq: Seq };

/** How far a member's devices have received and read the group's log. */
export type MemberMarks = {
  delivered: Seq;
  seen: Seq;
  deliveredPending: Seq;
  seenPending: Seq;
  /** Marks that are gathered for the log. */
  gathered: MemberMark | undefined;
};

/** As of a user: bytes of a group, and of what it holds for a member or author. */
const GROUP_BYTES = 2500;
const MEMBER_BYTES = 150;

export class GroupState {
  readonly address: GroupAddress;
  readonly log: ShardLog;
  /** Kept by the table that it is in. */
  heldBytes = 0;
  readonly handle: StreamHandle;
  /** Of its present life. */
  epoch: string;
  /** Where its present life begins: seq of its `created`. Earlier entries are shown to nobody. */
  bornSeq = FIRST_BORN;
  readonly members = new Map<UserId, Member>();
  /** Rises when members, or what they may do, change. */
  membershipChanges = 0;
  readonly marks = new Map<UserId, MemberMarks>();
  readonly authorBytes = new AuthorBytes(false);
  name = "";
  createdAt = 0;
  /** Rank of the newest entry. */
  lastRank = 0;
  isDissolved = false;
  /** Days that messages are kept; 0: the server's value. */
  keepDays = 0;
  /** When something of the log was erased last; 0: never. */
  erasedAt = 0;
  /** Rises with each erasure that is folded. */
  erasures = 0;
  /**
   * Resolves, and never rejects, when the erasure on its way to the log has ended. Until then nothing else is erased.
   */
  erasing: Promise<void> | undefined;
  /** The last entry is numbered and not yet durable: nothing may be numbered behind it. */
  isEnding = false;
  /** Members whose `left` is numbered and not yet durable: their posts and marks would stand behind it. */
  readonly leaving = new Set<UserId>();
  headSeq: Seq;
  nextSeq = 0 as Seq;
  /** While it is above 0 the group stays in memory. */
  changesUnderWay = 0;
  pendingMarks = 0;
  /** Number of this object, told to the authors of posts; set by its shard. */
  life = 0;
  /** Posts that came since the group was loaded, by author. */
  readonly authorPosts = new Map<UserId, AuthorPosts>();
  /** The last post, while it is numbered and not yet durable. It knows the one before it. */
  lastPost: GroupPost | undefined = undefined;
  isDirty = false;
  /** Members that changed since derived cells were last written. */
  #dirtyMembers = new Set<UserId>();
  #cellsThrough: Seq;

  /** The group if it exists, otherwise undefined. */
  static *load(address: GroupAddress, log: ShardLog): Steps<GroupState | undefined> {
    const load = beginLoad(log, address);
    const epoch = load && epochIn(load.snapshot);
    if (load === undefined || epoch === undefined) return undefined;
    const state = new GroupState(address, log, load, epoch);
    yield* readCells(load, (key, cell) => foldGroupCell(state, key, cell));
    yield* readEntries(log, address, load, (entry) => foldGroupEntry(state, entry));
    state.#endLoad();
    return state;
  }

  private constructor(
    address: GroupAddress,
    log: ShardLog,
    { snapshot, head, derivedThrough }: StreamLoad,
    epoch: string,
  ) {
    this.address = address;
    this.log = log;
    this.epoch = epoch;
    this.handle = new StreamHandle(address, snapshot.head);
    this.headSeq = this.#cellsThrough = derivedThrough;
    readGroupHead(this, head);
  }

  /** As of a user (user-state.ts). */
  get isIdle(): boolean {
    return (
      this.nextSeq === this.headSeq + 1 &&
      this.changesUnderWay === 0 &&
      this.pendingMarks === 0 &&
      !(this.isDirty && this.#hasCellsToWrite)
    );
  }

  /** Estimated memory. */
  get bytes(): number {
    const { members, marks, authorPosts, authorBytes } = this;
    const counted = members.size + marks.size + authorPosts.size + authorBytes.authors.size;
    return GROUP_BYTES + counted * MEMBER_BYTES;
  }

  get #hasCellsToWrite(): boolean {
    return this.headSeq - this.#cellsThrough >= CELLS_LAG_MAX;
  }

  /** A group without members. Nobody can join it, except by creating it anew. */
  get isOver(): boolean {
    return this.members.size === 0;
  }

  get memberCount(): number {
    return this.members.size;
  }

  hasMember(user: UserId): boolean {
    return this.members.has(user);
  }

  /** Does work that needs the group in memory until it ends. */
  *kept<Result>(work: Steps<Result>): Steps<Result> {
    this.changesUnderWay++;
    try {
      return yield* work;
    } finally {
      this.changesUnderWay--;
    }
  }

  isAdmin(user: UserId): boolean {
    return this.members.get(user)?.role === "admin";
  }

  setMember(user: UserId, role: GroupRole, joinedSeq: Seq): void {
    this.members.set(user, { role, joinedSeq });
    this.membershipChanges++;
    this.#dirtyMembers.add(user);
  }

  removeMember(user: UserId): void {
    this.members.delete(user);
    this.membershipChanges++;
    this.#dirtyMembers.add(user);
  }

  /** The counts in the cells may be wrong: count anew. */
  forgetCount(): void {
    this.authorBytes.isCounted = false;
  }

  marksOf(user: UserId): MemberMarks {
    let marks = this.marks.get(user);
    if (marks === undefined) {
      const none = 0 as Seq;
      marks = { delivered: none, seen: none, deliveredPending: none, seenPending: none, gathered: undefined };
      this.marks.set(user, marks);
    }
    return marks;
  }

  /** Derived cells for a flush to write, if enough entries have come; null clears. */
  writeCellsForFlush(write: (key: string, value: Uint8Array | null) => void): void {
    if (this.#hasCellsToWrite) this.#writeDerivedCells(write);
    this.isDirty = false;
  }

  /** Derived cells of what changed since a flush last wrote them, minus what is about to be erased; null clears. */
  derivedCells(erased?: ErasedBytes): [string, Uint8Array | null][] {
    const cells: [string, Uint8Array | null][] = [
      ["head", groupHeadCell(this)],
      ...this.authorBytes.derivedCells(erased?.postedBytes),
    ];
    for (const user of this.#dirtyMembers) cells.push([`member/${user}`, memberCell(this.members.get(user))]);
    return cells;
  }

  /**
   * For a record that carries the derived cells. Called while the record is encoded; the result is called when the
   * record is durable. A flush between the two writes cells of a later head, but the record's cells then stand in front
   * of them. So a later flush has to write them again.
   */
  writesAgain(): () => void {
    const members = this.#dirtyMembers;
    const authors = this.authorBytes.dirty;
    return () => {
      if (members === this.#dirtyMembers) return;
      this.isDirty = true;
      for (const user of members) this.#dirtyMembers.add(user);
      this.authorBytes.markDirty(authors);
    };
  }

  /** Writes all derived cells; after an error none counts as written. */
  #writeDerivedCells(write: (key: string, value: Uint8Array | null) => void): void {
    for (const [key, value] of this.derivedCells()) write(key, value);
    this.#cellsThrough = this.headSeq;
    this.#dirtyMembers = new Set();
    this.authorBytes.cellsWritten();
  }

  #endLoad(): void {
    for (const marks of this.marks.values()) {
      marks.deliveredPending = marks.delivered;
      marks.seenPending = marks.seen;
    }
    this.isDirty = false;
    this.nextSeq = (this.headSeq + 1) as Seq;
  }
}
