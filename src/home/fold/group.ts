/**
 * What an entry of a group's log does to the group, defined once for live commits and for loading, as timeline.ts
 * defines it for users.
 *
 * Not here: cells beside the entries (group-cells.ts), what is numbered and not yet durable, answers, frames.
 *
 * Invariant: each entry is folded once, in the order of the log. Entries that derived cells count already may be folded
 * again only into the bytes of authors, which skip them (author-bytes.ts).
 */
import type { UserId } from "../../domain/address.ts";
import { readGroupEntry, type GroupChangeDetail } from "../../domain/entries.ts";
import type { Seq, StoredEntry } from "../../../storage/types.ts";
import type { GroupState } from "../state/group-state.ts";

/** @param textBytes of the text in UTF-8 */
export function foldPosted(group: GroupState, seq: Seq, rank: number, author: UserId, textBytes: number): void {
  foldAny(group, seq);
  foldRank(group, rank);
  group.authorBytes.posted(seq, author, textBytes);
}

export function foldChanged(group: GroupState, seq: Seq, rank: number, detail: GroupChangeDetail): void {
  foldAny(group, seq);
  foldRank(group, rank);
  switch (detail.change) {
    case "created":
      return foldCreated(group, seq, detail);
    case "joined":
      return group.setMember(detail.user!, detail.role ?? "member", seq);
    case "role":
      return group.setMember(detail.user!, detail.role!, group.members.get(detail.user!)?.joinedSeq ?? seq);
    case "left":
      return group.removeMember(detail.user!);
    case "renamed":
      group.name = detail.name ?? "";
      return;
    case "retention":
      group.keepDays = detail.keepDays ?? 0;
      return;
    case "dissolved":
      group.isDissolved = true;
      for (const user of [...group.members.keys()]) group.removeMember(user);
  }
}

/** An entry as it stands in the log. @throws RangeError for an entry of a newer version */
export function foldGroupEntry(group: GroupState, stored: StoredEntry): void {
  const { seq } = stored;
  const entry = readGroupEntry(stored);
  switch (entry.kind) {
    case "posted":
      return foldPosted(group, seq, entry.rank, entry.author, Buffer.byteLength(entry.text));
    case "changed":
      return foldChanged(group, seq, entry.rank, entry.detail);
    case "erased":
      // Everything else it meant is in the derived cells of the erasure (erasure.ts).
      return foldAny(group, seq);
  }
}

/** Begins a life: the first one, or the next one of a group that is over. Its epoch is a cell of the same record. */
function foldCreated(group: GroupState, seq: Seq, { at, by, name, members = [] }: GroupChangeDetail): void {
  group.bornSeq = seq;
  group.createdAt = at;
  group.name = name ?? "";
  group.keepDays = 0;
  group.isDissolved = false;
  for (const user of members) group.setMember(user, user === by ? "admin" : "member", seq);
}

function foldRank(group: GroupState, rank: number): void {
  if (rank > group.lastRank) group.lastRank = rank;
}

function foldAny(group: GroupState, seq: Seq): void {
  group.headSeq = seq;
  group.isDirty = true;
}
