/** The list of conversations, newest first, page by page. Pages end by count and by bytes. */
import type { Steps } from "../../base/steps.ts";
import { isGroup, type Address } from "../../domain/address.ts";
import type { Conversation, ConversationsPage } from "../../protocol/http-shapes.ts";
import type { AnswerSize } from "./answer-size.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import { asOfNow, cursorText, isListed, listedGroup, parseCursor, type Place } from "./conversation-order.ts";
import { NewestPlaces } from "./conversation-places.ts";
import { describeConversation } from "./conversation.ts";

type Question = { limit: number; messages: number; before?: string };

/** @throws AppError bad_request for a `before` that no page has given */
export function* listConversations(
  shard: Shard,
  user: UserState,
  { limit, messages, before }: Question,
  size: AnswerSize,
): Steps<ConversationsPage> {
  const cursor = before === undefined ? undefined : parseCursor(before);
  const asOf = cursor?.asOf ?? (yield* asOfNow(shard, user));
  const places = new NewestPlaces(shard, user, asOf, limit + 1);
  yield* places.look(cursor?.after, size);
  const reply: ConversationsPage = { conversations: [] };
  let isWhole = true;
  let last: Place | undefined;
  for (const place of places.newest()) {
    isWhole = reply.conversations.length < limit && !size.isFull;
    if (!isWhole) break;
    const described = yield* describeListed(shard, user, place.address, messages, size);
    // A conversation that does not fit whole begins the next page.
    isWhole = described === undefined || !size.isFull || reply.conversations.length === 0;
    if (!isWhole) break;
    if (described !== undefined) reply.conversations.push(described);
    last = place;
    yield;
  }
  if (last && !(isWhole && places.isAll)) reply.before = cursorText({ asOf, after: last });
  return reply;
}

/** Undefined if the user left the group between two steps. */
function* describeListed(
  shard: Shard,
  user: UserState,
  address: Address,
  messages: number,
  size: AnswerSize,
): Steps<Conversation | undefined> {
  if (!(yield* isShown(shard, user, address))) return undefined;
  try {
    return yield* describeConversation(shard, user, address, messages, size);
  } catch (error) {
    if (yield* isShown(shard, user, address)) throw error;
    return undefined;
  }
}

function* isShown(shard: Shard, user: UserState, address: Address): Steps<boolean> {
  const conversation = user.conversation(address);
  const group = isGroup(address) ? yield* listedGroup(shard, conversation) : undefined;
  return isListed(user, conversation, group);
}
