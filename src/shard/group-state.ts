/**
 * A group at its owner: the fold of the group's log. One per group, at the owner of the group's shard.
 *
 * A group is over when it was dissolved, or when its last member has left. Then anybody may create a group of that id anew. It goes
 * on in the same log, with the next seq, and begins a new life there: another epoch, other members, nothing of what was before.
 *
 * Invariants: as in user-state.ts. Members see the log from `bornSeq` on, also what stands before they joined; a former member sees nothing.
 */
import type { Steps } from "../base/steps.ts";
import type { GroupAddress, UserId } from "../domain/address.ts";
import { readGroupEntry, type GroupEntry, type GroupChangeDetail } from "../domain/entries.ts";
import { partsOfRank, rankOfTime } from "../domain/rank.ts";
import type { GroupRole } from "../protocol/frames.ts";
import type { ShardLog } from "../../storage/shard-log.ts";
import { StreamHandle } from "../../storage/staged-record.ts";
import type { Seq, StreamSnapshot } from "../../storage/types.ts";
import { AuthorBytes } from "./author-bytes.ts";
import { cellNumber, CELLS_LAG_MAX, CellReader, cellText, encodeCell } from "./cells.ts";
import type { ErasedBytes } from "./erasure.ts";
import { beginLoad, takeCells, takeEntries, type StreamLoad } from "./stream-load.ts";

const FIRST = 1 as Seq;

/** From cells alone, without folding the log. */
export const bornSeqOf = (snapshot: StreamSnapshot): Seq => Math.max(FIRST, cellNumber(snapshot.cell("born"))) as Seq;

export type Member = { role: GroupRole; joinedSeq: Seq };

/** How far a member's devices have got and read the group's log. */
export type MemberMarks = { delivered: Seq; seen: Seq; deliveredPending: Seq; seenPending: Seq };

export class GroupState {
  readonly address: GroupAddress;
  readonly log: ShardLog;
  readonly handle: StreamHandle;
  /** Of its present life. */
  epoch: string;
  /** Where its present life begins: seq of its `created`. Nobody is shown anything before it. */
  bornSeq: Seq;
  readonly members = new Map<UserId, Member>();
  readonly marks = new Map<UserId, MemberMarks>();
  readonly authorBytes: AuthorBytes;
  name = "";
  createdAt = 0;
  /** Rank of the newest entry. */
  lastRank = 0;
  isDissolved = false;
  /** Messages are kept for so many days; 0: as the server has it. */
  keepDays = 0;
  /** When something of the log was erased last; 0: never. */
  erasedAt = 0;
  /** Erasures in its log since it was loaded. */
  erasures = 0;
  /** The last entry is numbered and not yet durable: nothing may be numbered behind it. */
  isEnding = false;
  /** Members whose `left` is numbered and not yet durable: what they say now would stand behind it. */
  readonly leaving = new Set<UserId>();
  headSeq: Seq;
  nextSeq: Seq;
  /** Changes of membership that are numbered and not yet durable: the next change waits for them. */
  changing: Promise<void> = Promise.resolve();
  /** While there are some the group stays in memory: they wait for each other there. */
  changesWaiting = 0;
  pendingMarks = 0;
  isDirty = false;
  /** Members changed since derived cells were last taken. */
  #dirtyMembers = new Set<UserId>();
  #cellsThrough: Seq;

  /** Loads a group that exists, or undefined. */
  static *load(address: GroupAddress, log: ShardLog): Steps<GroupState | undefined> {
    const load = beginLoad(log, address);
    const epoch = load?.snapshot.cell("epoch");
    if (load === undefined || epoch === undefined) return undefined;
    const state = new GroupState(address, log, load, cellText(epoch));
    yield* takeCells(load, (key, cell) => state.#loadCell(key, cell));
    yield* takeEntries(log, address, load, (entry) => state.fold(entry.seq, readGroupEntry(entry)));
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
    this.createdAt = head.number();
    this.lastRank = rankOfTime(head.number());
    this.name = head.text();
    this.isDissolved = head.number() === 1;
    this.lastRank += head.number();
    this.authorBytes = new AuthorBytes(head.number() === 1);
    this.bornSeq = bornSeqOf(snapshot);
    this.keepDays = cellNumber(snapshot.cell("keepDays"));
    this.erasedAt = cellNumber(snapshot.cell("erased"));
    this.nextSeq = 0 as Seq;
  }

  /** Nobody is in it, and nobody can come into it any more, but by creating it anew. */
  get isOver(): boolean {
    return this.members.size === 0;
  }

  isAdmin(user: UserId): boolean {
    return this.members.get(user)?.role === "admin";
  }

  /** Lets a durable entry count. */
  fold(seq: Seq, entry: GroupEntry): void {
    this.headSeq = seq;
    this.isDirty = true;
    if (entry.kind === "erased") return;
    this.lastRank = Math.max(this.lastRank, entry.rank);
    if (entry.kind === "changed") this.#foldChange(seq, entry.detail);
    else this.authorBytes.posted(seq, entry.author, entry.text);
  }

  /** Folds the `created` of a new life. */
  beginAgain(seq: Seq, entry: GroupEntry, epoch: string): void {
    this.epoch = epoch;
    this.marks.clear();
    this.isEnding = false;
    this.fold(seq, entry);
  }

  /** Entries of its log were erased. @param at Unix ms */
  erased(at: number, { postedBytes }: ErasedBytes): void {
    this.erasedAt = at;
    this.erasures++;
    this.authorBytes.erased(postedBytes);
  }

  /** What is in cells may not be true: to be counted anew. */
  forgetCount(): void {
    this.authorBytes.isCounted = false;
  }

  marksOf(user: UserId): MemberMarks {
    let marks = this.marks.get(user);
    if (marks === undefined) {
      const none = 0 as Seq;
      marks = { delivered: none, seen: none, deliveredPending: none, seenPending: none };
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
    const { headSeq, createdAt, lastRank, isDissolved, name, authorBytes } = this;
    const isCounted = authorBytes.isCounted ? 1 : 0;
    const { ms, count } = partsOfRank(lastRank);
    const cells: [string, Uint8Array | null][] = [
      ["head", encodeCell(headSeq, createdAt, ms, name, isDissolved ? 1 : 0, count, isCounted)],
      ...authorBytes.derivedCells(erased?.postedBytes),
    ];
    for (const user of this.#dirtyMembers) {
      const member = this.members.get(user);
      cells.push([`member/${user}`, member ? encodeCell(member.joinedSeq, member.role === "admin" ? 1 : 0) : null]);
    }
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

  #foldChange(seq: Seq, detail: GroupChangeDetail): void {
    switch (detail.change) {
      case "created":
        this.bornSeq = seq;
        this.createdAt = detail.at;
        this.name = detail.name ?? "";
        this.keepDays = 0;
        this.isDissolved = false;
        for (const user of detail.members ?? []) this.#setMember(user, user === detail.by ? "admin" : "member", seq);
        return;
      case "joined":
        return this.#setMember(detail.user!, detail.role ?? "member", seq);
      case "role":
        return this.#setMember(detail.user!, detail.role!, this.members.get(detail.user!)?.joinedSeq ?? seq);
      case "left":
        this.members.delete(detail.user!);
        this.#dirtyMembers.add(detail.user!);
        return;
      case "renamed":
        this.name = detail.name ?? "";
        return;
      case "retention":
        this.keepDays = detail.keepDays ?? 0;
        return;
      case "dissolved":
        this.isDissolved = true;
        for (const user of this.members.keys()) this.#dirtyMembers.add(user);
        this.members.clear();
    }
  }

  #setMember(user: UserId, role: GroupRole, joinedSeq: Seq): void {
    this.members.set(user, { role, joinedSeq });
    this.#dirtyMembers.add(user);
  }

  #loadCell(key: string, cell: Uint8Array): void {
    const slash = key.indexOf("/");
    if (slash < 0) return;
    const user = key.slice(slash + 1) as UserId;
    switch (key.slice(0, slash)) {
      case "member": {
        const fields = new CellReader(cell);
        const joinedSeq = fields.number() as Seq;
        this.members.set(user, { role: fields.number() === 1 ? "admin" : "member", joinedSeq });
        return;
      }
      case "wrote":
        return this.authorBytes.load(user, cell);
      case "delivered": {
        const marks = this.marksOf(user);
        marks.delivered = marks.deliveredPending = cellNumber(cell) as Seq;
        return;
      }
      case "seen": {
        const marks = this.marksOf(user);
        marks.seen = marks.seenPending = cellNumber(cell) as Seq;
      }
    }
  }

  #endLoad(): void {
    this.isDirty = false;
    this.nextSeq = (this.headSeq + 1) as Seq;
  }
}
