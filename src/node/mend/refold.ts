/**
 * Works the derived cells of a user out anew, from what cells there are and from every entry, and writes them.
 *
 * Cells of one stream may come from different flushes when newer ones are lost: `head` then says that entries count
 * which the cell of their conversation does not have. All that is derived here only rises, so the higher of both is
 * right: what a cell knows of an entry that is lost, and what an entry says that no cell knows.
 *
 * A message that is lost and was handed over does not come again: its sender's shard has done with it. So the messages of a sender follow behind the last of those.
 */
import type { UserAddress } from "../../domain/address.ts";
import { nextTurn } from "../../base/steps.ts";
import type { Seq } from "../../../storage/types.ts";
import type { ConversationState } from "../../home/state/conversation-state.ts";
import { writeRecord } from "../../home/durable.ts";
import { foldTimelineEntry } from "../../home/fold/timeline.ts";
import type { UserState } from "../../home/state/user-state.ts";
import { pagesOf } from "./survey.ts";

/** @param handedOver by sender: seq of the last message that was handed over to the user */
export async function refoldUser(user: UserState, handedOver: ReadonlyMap<UserAddress, Seq>): Promise<void> {
  const known = new Map([...user.conversations].map(([address, conversation]) => [address, { ...conversation }]));
  await foldAll(user);
  for (const conversation of user.conversations.values()) keepHigher(conversation, known.get(conversation.address));
  for (const [sender, seq] of handedOver) {
    const conversation = user.conversation(sender);
    conversation.takenThrough = higher(conversation.takenThrough, seq);
  }
  for (const conversation of user.conversations.values()) {
    conversation.endLoad();
    user.touch(conversation);
  }
  await writeRecord(user.log, (log) => {
    for (const [key, value] of user.derivedCells()) log.putCell(user.handle, key, value);
  });
}

/** As a load does of which no derived cell is there. */
async function foldAll(user: UserState): Promise<void> {
  const { lastRank } = user;
  user.lastRank = 0;
  for (const page of pagesOf(user.log, user.address)) {
    for (const stored of page) foldTimelineEntry(user, stored);
    await nextTurn();
  }
  user.lastRank = Math.max(user.lastRank, lastRank);
}

type Known = Pick<
  ConversationState,
  "lastSeq" | "lastRank" | "sentSeq" | "takenSeq" | "takenThrough" | "incoming" | "joinedSeq" | "isPutIn"
>;

function keepHigher(conversation: ConversationState, known: Known | undefined): void {
  if (known !== undefined) {
    conversation.lastSeq = higher(conversation.lastSeq, known.lastSeq);
    conversation.lastRank = Math.max(conversation.lastRank, known.lastRank);
    if (known.sentSeq !== undefined)
      conversation.sentSeq = higher(conversation.sentSeq ?? known.sentSeq, known.sentSeq);
    conversation.takenSeq = higher(conversation.takenSeq, known.takenSeq);
    conversation.incoming = Math.max(conversation.incoming, known.incoming);
    if (known.takenThrough > conversation.takenThrough) {
      conversation.takenThrough = known.takenThrough;
      conversation.joinedSeq = known.joinedSeq;
      conversation.isPutIn = known.isPutIn;
    }
  }
  // Nobody can have read, or had erased, more messages than came.
  const { incoming, incomingRead, goneIncoming } = conversation;
  conversation.incoming = Math.max(incoming, incomingRead, goneIncoming);
}

const higher = (one: Seq, other: Seq): Seq => (one > other ? one : other);
