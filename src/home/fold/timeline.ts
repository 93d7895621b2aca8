/**
 * What an entry of a timeline does to its user, defined once. A live commit calls the function of its kind with the
 * values that it has. Loading, also after a crash, calls `foldTimelineEntry` with what it reads.
 *
 * Not here: cells beside the entries (timeline-cells.ts), what is numbered and not yet durable, answers, frames.
 *
 * Invariant: each entry is folded once, in the order of the stream. `conversation` is that of the entry's lane.
 */
import type { Address } from "../../domain/address.ts";
import { readTimelineEntry, type MembershipEntry, type TimelineEntry } from "../../domain/entries.ts";
import type { Seq, StoredEntry } from "../../../storage/types.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import type { UserState } from "../state/user-state.ts";

/** @param textBytes of the text in UTF-8 */
export function foldSent(
  user: UserState,
  conversation: ConversationState,
  seq: Seq,
  rank: number,
  textBytes: number,
): void {
  foldMessage(user, conversation, seq, rank);
  conversation.sentSeq = seq;
  user.sentBytes += textBytes;
}

/** @param fromSeq the sender's seq. @param ordinal how many messages of this sender there are, including this one */
export function foldTaken(
  user: UserState,
  conversation: ConversationState,
  seq: Seq,
  rank: number,
  fromSeq: Seq,
  ordinal: number,
): void {
  foldMessage(user, conversation, seq, rank);
  conversation.incoming = ordinal;
  // It may be higher already: foldAcceptsNoMore.
  if (fromSeq > conversation.takenThrough) conversation.takenThrough = fromSeq;
  conversation.takenSeq = seq;
}

export function foldMembership(
  user: UserState,
  conversation: ConversationState,
  seq: Seq,
  { change, groupSeq, isUnasked }: MembershipEntry,
): void {
  foldAny(user, conversation, seq);
  const isIn = change === "joined";
  conversation.takenThrough = groupSeq;
  conversation.joinedSeq = (isIn ? groupSeq : 0) as Seq;
  conversation.isPutIn = isIn && isUnasked === true;
  conversation.postedRefValue = undefined;
}

/** An entry as it stands in the log. @throws RangeError for an entry of a newer version */
export function foldTimelineEntry(user: UserState, stored: StoredEntry): void {
  const { seq } = stored;
  const conversation = user.conversation(stored.lane as Address);
  const entry = readTimelineEntry(stored);
  switch (entry.kind) {
    case "sent":
      return foldSent(user, conversation, seq, entry.rank, sentBytesOf(entry));
    case "taken":
      return foldTaken(user, conversation, seq, entry.rank, entry.fromSeq, entry.ordinal);
    case "membership":
      return foldMembership(user, conversation, seq, entry);
    case "erased":
      // Everything else it meant is in the derived cells of the erasure (erasure.ts).
      return foldAny(user, conversation, seq);
  }
}

/** Bytes of text that the owner of the timeline stores with the entry. */
export const sentBytesOf = (entry: TimelineEntry): number =>
  entry.kind === "sent" ? Buffer.byteLength(entry.text) : 0;

function foldMessage(user: UserState, conversation: ConversationState, seq: Seq, rank: number): void {
  foldAny(user, conversation, seq);
  // Entries of a version without ranks have wall-clock times, which may have gone back.
  if (rank > user.lastRank) user.lastRank = rank;
  conversation.lastRank = user.lastRank;
}

function foldAny(user: UserState, conversation: ConversationState, seq: Seq): void {
  user.headSeq = seq;
  conversation.lastSeq = seq;
  user.touch(conversation);
}
