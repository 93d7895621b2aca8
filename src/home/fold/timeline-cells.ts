/**
 * What a cell of a user's stream does to the user, as timeline.ts defines it for entries. Loading calls
 * `foldTimelineCell` with each existing cell, in any order, before it folds the entries behind the derived cells.
 *
 * Not here: cells that no state holds (accounts, retention, requests to erase). They are read from the log when needed.
 */
import { userAddress, type Address, type UserId } from "../../domain/address.ts";
import type { Seq } from "../../../storage/types.ts";
import { cellNumber, CellReader } from "../state/cells.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import type { UserState } from "../state/user-state.ts";
import { readConversationCell } from "./derived-cells.ts";
import { ERASED_FOR, readErasedFor } from "./erased-for.ts";

/** A device has the timeline through `seq`. */
export function foldReceived(user: UserState, seq: Seq): void {
  user.received = seq;
}

/** The owner has read the conversation through `seq`, which covers `incoming` messages of the peer. */
export function foldRead(conversation: ConversationState, seq: Seq, incoming: number): void {
  conversation.ownRead = seq;
  conversation.incomingRead = incoming;
}

/** The peer has received what the owner sent through `seq`. @param mark the mark counter */
export function foldDelivered(user: UserState, conversation: ConversationState, seq: Seq, mark: number): void {
  conversation.delivered = seq;
  conversation.deliveredMark = mark;
  if (mark > user.markCount) user.markCount = mark;
}

/** The peer's read mark. @param mark the mark counter */
export function foldSeen(user: UserState, conversation: ConversationState, seq: Seq, mark: number): void {
  conversation.seen = seq;
  conversation.seenMark = mark;
  if (mark > user.markCount) user.markCount = mark;
}

/** The owner has made the membership of `groupSeq` their own. */
export function foldAsked(conversation: ConversationState, groupSeq: Seq): void {
  conversation.askedSeq = groupSeq;
}

/** The first `incoming` messages of the peer are erased, the last of them at `seq`. */
export function foldGone(conversation: ConversationState, seq: Seq, incoming: number): void {
  conversation.goneSeq = seq;
  conversation.goneIncoming = incoming;
}

/** The peer has erased what it sent through `fromSeq` of its timeline: late messages of that part count as accepted. */
export function foldAcceptsNoMore(conversation: ConversationState, fromSeq: Seq): void {
  if (fromSeq > conversation.takenThrough) conversation.takenThrough = fromSeq;
}

/** @param at Unix ms. @param sentBytes erased bytes of text. 0 in a load: the cell `head` is reduced already. */
export function foldErasure(user: UserState, at: number, sentBytes: number): void {
  user.erasedAt = at;
  user.erasures++;
  user.sentBytes -= sentBytes;
}

/** A cell as it stands in the log, of any kind. */
export function foldTimelineCell(user: UserState, key: string, cell: Uint8Array): void {
  const slash = key.indexOf("/");
  if (key.startsWith(ERASED_FOR)) return foldErasedFor(user, key.slice(ERASED_FOR.length) as UserId, cell);
  if (slash > 0) return foldConversationCell(user, key.slice(0, slash), key.slice(slash + 1) as Address, cell);
  if (key === "received") foldReceived(user, cellNumber(cell) as Seq);
  else if (key === "erased") foldErasure(user, cellNumber(cell), 0);
}

function foldErasedFor(user: UserState, other: UserId, cell: Uint8Array): void {
  const { fromSeq } = readErasedFor(cell);
  if (fromSeq > 0) foldAcceptsNoMore(user.conversation(userAddress(other)), fromSeq);
}

function foldConversationCell(user: UserState, kind: string, address: Address, cell: Uint8Array): void {
  const fields = new CellReader(cell);
  switch (kind) {
    case "conv":
      return readConversationCell(user, user.conversation(address), fields);
    case "read":
      return foldRead(user.conversation(address), fields.number() as Seq, fields.number());
    case "asked":
      return foldAsked(user.conversation(address), fields.number() as Seq);
    case "gone":
      return foldGone(user.conversation(address), fields.number() as Seq, fields.number());
    case "delivered":
      return foldDelivered(user, user.conversation(address), fields.number() as Seq, fields.number());
    case "seen":
      return foldSeen(user, user.conversation(address), fields.number() as Seq, fields.number());
  }
}
