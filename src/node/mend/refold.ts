/**
 * Computes the derived cells of a user anew, from the existing cells and every entry, and writes them.
 *
 * When newer cells are lost, the cells of one stream may come from different flushes: `head` then counts entries that
 * the conversation's cell does not have. All derived values only rise, so the higher of both is right: the cell may
 * know of a lost entry, and the entry may be newer than the cell.
 *
 * A lost message that was handed off does not come again: its sender's shard has finished with it. So the sender's next
 * messages are numbered after it.
 */
import type { UserAddress } from "../../domain/address.ts";
import { nextTurn } from "../../base/steps.ts";
import type { Seq } from "../../../storage/types.ts";
import type { ConversationState } from "../../home/state/conversation-state.ts";
import { writeRecord } from "../../home/durable.ts";
import { foldTimelineEntry } from "../../home/fold/timeline.ts";
import type { UserState } from "../../home/state/user-state.ts";
import { pagesOf } from "./survey.ts";

/** @param handedOver by sender: seq of the last message that was handed off to the user */
export async function refoldUser(user: UserState, handedOver: ReadonlyMap<UserAddress, Seq>): Promise<void> {
  const known = new Map([...user.conversations.values()].map((one) => [one.address, { ...one }]));
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

/** Folds all entries, as a load does when no derived cell exists. */
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
  // The counts of read and of erased messages cannot exceed the count of received ones.
  const { incoming, incomingRead, goneIncoming } = conversation;
  conversation.incoming = Math.max(incoming, incomingRead, goneIncoming);
}

const higher = (one: Seq, other: Seq): Seq => (one > other ? one : other);
