/**
 * A group at its owner: the fold of the group's log (fold/). One per group, at the owner of the group's shard.
 *
 * A group is over when it was dissolved, or when its last member has left. Then anybody may create a group of that id anew. It goes
 * on in the same log, with the next seq, and begins a new life there: another epoch, other members, nothing of what was before.
 *
 * Invariants: as in user-state.ts. Members see the log from `bornSeq` on, also what stands before they joined; a former member sees nothing.
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
import { beginLoad, takeCells, takeEntries, type StreamLoad } from "./stream-load.ts";

export type Member = { role: GroupRole; joinedSeq: Seq };

/** How far a member's devices have got and read the group's log. */
export type MemberMarks = {
  delivered: Seq;
  seen: Seq;
  deliveredPending: Seq;
  seenPending: Seq;
  /** On its way to the log, while it gathers. */
  gathered: MemberMark | undefined;
};

export class GroupState {
  readonly address: GroupAddress;
  readonly log: ShardLog;
  readonly handle: StreamHandle;
  /** Of its present life. */
  epoch: string;
  /** Where its present life begins: seq of its `created`. Nobody is shown anything before it. */
  bornSeq = FIRST_BORN;
  readonly members = new Map<UserId, Member>();
  readonly marks = new Map<UserId, MemberMarks>();
  readonly authorBytes = new AuthorBytes(false);
  name = "";
  createdAt = 0;
  /** Rank of the newest entry. */
  lastRank = 0;
  isDissolved = false;
  /** Messages are kept for so many days; 0: as the server has it. */
  keepDays = 0;
  /** When something of the log was erased last; 0: never. */
  erasedAt = 0;
  /** Rises with each erasure that is folded. */
  erasures = 0;
  /** Settled, and never rejected, when the erasure that is on its way to the log has ended: until then nothing else is erased. */
  erasing: Promise<void> | undefined;
  /** The last entry is numbered and not yet durable: nothing may be numbered behind it. */
  isEnding = false;
  /** Members whose `left` is numbered and not yet durable: what they say now would stand behind it. */
  readonly leaving = new Set<UserId>();
  headSeq: Seq;
  nextSeq = 0 as Seq;
  /** While there are some the group stays in memory. */
  changesUnderWay = 0;
  pendingMarks = 0;
  /** Of this object, told to the authors of posts; given by its shard. */
  life = 0;
  /** Posts that came since it is in memory, by author. */
  readonly authorPosts = new Map<UserId, AuthorPosts>();
  /** The last post, while it is numbered and not yet durable. It knows the one before it. */
  lastPost: GroupPost | undefined = undefined;
  isDirty = false;
  /** Members changed since derived cells were last taken. */
  #dirtyMembers = new Set<UserId>();
  #cellsThrough: Seq;

  /** Loads a group that exists, or undefined. */
  static *load(address: GroupAddress, log: ShardLog): Steps<GroupState | undefined> {
    const load = beginLoad(log, address);
    const epoch = load && epochIn(load.snapshot);
    if (load === undefined || epoch === undefined) return undefined;
    const state = new GroupState(address, log, load, epoch);
    yield* takeCells(load, (key, cell) => foldGroupCell(state, key, cell));
    yield* takeEntries(log, address, load, (entry) => foldGroupEntry(state, entry));
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

  /** Nobody is in it, and nobody can come into it any more, but by creating it anew. */
  get isOver(): boolean {
    return this.members.size === 0;
  }

  get memberCount(): number {
    return this.members.size;
  }

  hasMember(user: UserId): boolean {
    return this.members.has(user);
  }

  /** Work that needs the group in memory until it ends. */
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
    this.#dirtyMembers.add(user);
  }

  removeMember(user: UserId): void {
    this.members.delete(user);
    this.#dirtyMembers.add(user);
  }

  /** What is in cells may not be true: to be counted anew. */
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

  /** Derived cells that a flush is to write, if it is time; null clears. */
  writeCellsForFlush(write: (key: string, value: Uint8Array | null) => void): void {
    if (this.headSeq - this.#cellsThrough >= CELLS_LAG_MAX) this.#writeDerivedCells(write);
    this.isDirty = false;
  }

  /** Derived cells of what changed since a flush last took them, less what is about to be erased; null clears. */
  derivedCells(erased?: ErasedBytes): [string, Uint8Array | null][] {
    const cells: [string, Uint8Array | null][] = [
      ["head", groupHeadCell(this)],
      ...this.authorBytes.derivedCells(erased?.postedBytes),
    ];
    for (const user of this.#dirtyMembers) cells.push([`member/${user}`, memberCell(this.members.get(user))]);
    return cells;
  }

  /**
   * For a record that carries the derived cells: to be called while it is encoded; what it returns, when the record is
   * durable. A flush between the two has cells of a later head, which those of the record now stand in front of: they
   * have to go with a later flush again.
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

  /** All of them, or none counts as written. */
  #writeDerivedCells(write: (key: string, value: Uint8Array | null) => void): void {
    for (const [key, value] of this.derivedCells()) write(key, value);
    this.#cellsThrough = this.headSeq;
    this.#dirtyMembers = new Set();
    this.authorBytes.cellsTaken();
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
