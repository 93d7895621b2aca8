/**
 * What a cell of a group's stream does to the group, as group.ts defines it for entries. Loading calls `foldGroupCell`
 * with each existing cell, in any order, before it folds the entries behind the derived cells.
 *
 * `born` and `keepDays` are cells for readers that do not load the group. The entries say the same.
 */
import type { UserId } from "../../domain/address.ts";
import type { Seq, StreamSnapshot } from "../../../storage/types.ts";
import { cellNumber, CellReader, cellText } from "../state/cells.ts";
import type { GroupState, MemberMarks } from "../state/group-state.ts";
import { readMemberCell } from "./derived-cells.ts";

export const FIRST_BORN = 1 as Seq;
const NOTHING_GONE: ReadonlyMap<UserId, number> = new Map();

/** Where the present life begins, without folding the log. */
export const bornSeqOf = (snapshot: StreamSnapshot): Seq => bornSeqIn(snapshot.cell("born"));

const bornSeqIn = (cell: Uint8Array | undefined): Seq => Math.max(FIRST_BORN, cellNumber(cell)) as Seq;

/** A member's devices have the log through `seq`. */
export function foldMemberDelivered(marks: MemberMarks, seq: Seq): void {
  marks.delivered = seq;
}

/** A member has read the log through `seq`. */
export function foldMemberSeen(marks: MemberMarks, seq: Seq): void {
  marks.seen = seq;
}

/** The epoch of the life that begins with the same record. That record also clears the marks of the former life. */
export function foldEpoch(group: GroupState, epoch: string): void {
  group.epoch = epoch;
  group.marks.clear();
}

/**
 * @param at Unix ms
 * @param postedBytes erased bytes of text of each author. Empty in a load: the cells `wrote` are reduced already.
 */
export function foldGroupErasure(group: GroupState, at: number, postedBytes: ReadonlyMap<UserId, number>): void {
  group.erasedAt = at;
  group.erasures++;
  group.authorBytes.erased(postedBytes);
}

/** A cell as it stands in the log, of any kind except `epoch`, which is read before all others. */
export function foldGroupCell(group: GroupState, key: string, cell: Uint8Array): void {
  const slash = key.indexOf("/");
  if (slash > 0) return foldMemberCell(group, key.slice(0, slash), key.slice(slash + 1) as UserId, cell);
  if (key === "born") group.bornSeq = bornSeqIn(cell);
  else if (key === "keepDays") group.keepDays = cellNumber(cell);
  else if (key === "erased") foldGroupErasure(group, cellNumber(cell), NOTHING_GONE);
}

/** The text; undefined if the group does not exist. */
export const epochIn = (snapshot: StreamSnapshot): string | undefined => {
  const cell = snapshot.cell("epoch");
  return cell && cellText(cell);
};

function foldMemberCell(group: GroupState, kind: string, user: UserId, cell: Uint8Array): void {
  switch (kind) {
    case "member":
      return readMemberCell(group, user, new CellReader(cell));
    case "wrote":
      return group.authorBytes.load(user, cell);
    case "delivered":
      return foldMemberDelivered(group.marksOf(user), cellNumber(cell) as Seq);
    case "seen":
      return foldMemberSeen(group.marksOf(user), cellNumber(cell) as Seq);
  }
}
