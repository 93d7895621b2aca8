/**
 * Works the derived cells of a user out anew, from what cells there are and from every entry, and writes them.
 *
 * Cells of one stream may come from different flushes when newer ones are lost: `head` then says that entries count
 * which the cell of their conversation does not have. All that is derived here only rises, so the higher of both is
 * right: what a cell knows of an entry that is lost, and what an entry says that no cell knows.
 *
 * A message that is lost and was handed over does not come again: its sender's shard has done with it. So the messages of a sender follow behind the last of those.
 */
import type { Address, UserAddress } from "../../domain/address.ts";
import { readTimelineEntry } from "../../domain/entries.ts";
import { nextTurn } from "../../base/steps.ts";
import type { Seq, StoredEntry } from "../../../storage/types.ts";
import type { ConversationState } from "../conversation-state.ts";
import { writeRecord } from "../durable.ts";
import type { UserState } from "../user-state.ts";
import { pagesOf } from "./survey.ts";

/** @param handedOver by sender: seq of the last message that was handed over to the user */
export async function refoldUser(user: UserState, handedOver: ReadonlyMap<UserAddress, Seq>): Promise<void> {
  for (const page of pagesOf(user.log, user.address)) {
    for (const stored of page) refoldEntry(user.conversation(stored.lane as Address), stored);
    await nextTurn();
  }
  for (const [sender, seq] of handedOver) {
    const conversation = user.conversation(sender);
    if (seq > conversation.takenThrough) conversation.takenThrough = conversation.takenThroughPending = seq;
  }
  for (const conversation of user.conversations.values()) {
    const { incoming, incomingRead, goneIncoming } = conversation;
    // Nobody can have read, or had erased, more messages than came.
    conversation.incoming = conversation.incomingPending = Math.max(incoming, incomingRead, goneIncoming);
    user.touch(conversation);
  }
  await writeRecord(user.log, (log) => {
    for (const [key, value] of user.derivedCells()) log.putCell(user.handle, key, value);
  });
}

function refoldEntry(conversation: ConversationState, stored: StoredEntry): void {
  const { seq } = stored;
  if (seq > conversation.lastSeq) conversation.lastSeq = seq;
  const entry = readTimelineEntry(stored);
  if (entry.kind === "erased") return;
  if (entry.kind === "membership") {
    if (entry.groupSeq < conversation.takenThrough) return;
    const isIn = entry.change === "joined";
    conversation.takenThrough = conversation.takenThroughPending = entry.groupSeq;
    conversation.joinedSeq = (isIn ? entry.groupSeq : 0) as Seq;
    conversation.isPutIn = isIn && entry.isUnasked === true;
    return;
  }
  conversation.lastRank = Math.max(conversation.lastRank, entry.rank);
  if (entry.kind !== "taken") return;
  conversation.incoming = Math.max(conversation.incoming, entry.ordinal);
  if (entry.fromSeq < conversation.takenThrough) return;
  conversation.takenThrough = conversation.takenThroughPending = entry.fromSeq;
  conversation.takenSeq = seq;
}
