/** The list of conversations, newest first, page by page. Pages end by count and by bytes. */
import type { Steps } from "../base/steps.ts";
import type { Address } from "../domain/address.ts";
import type { Conversation, ConversationsPage } from "../protocol/http-shapes.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { UserState } from "../shard/user-state.ts";
import type { AnswerSize } from "./answer-size.ts";
import { asOfNow, cursorText, isListed, parseCursor, type Place } from "./conversation-order.ts";
import { NewestPlaces } from "./conversation-places.ts";
import { describeConversation } from "./conversation.ts";
import type { GroupUnread } from "./group-unread.ts";

type Question = { limit: number; messages: number; before?: string };

/** @throws AppError bad_request for a `before` that no page has given */
export function* listConversations(
  host: ShardHost,
  unread: GroupUnread,
  user: UserState,
  { limit, messages, before }: Question,
  size: AnswerSize,
): Steps<ConversationsPage> {
  const cursor = before === undefined ? undefined : parseCursor(before);
  const asOf = cursor?.asOf ?? (yield* asOfNow(host, user));
  const newest = new NewestPlaces(host, user, asOf, limit + 1);
  yield* newest.look(cursor?.after, size);
  const reply: ConversationsPage = { conversations: [] };
  let isWhole = true;
  let last: Place | undefined;
  for (const place of newest.taken()) {
    isWhole = reply.conversations.length < limit && !size.isFull;
    if (!isWhole) break;
    const described = yield* describeListed(host, unread, user, place.address, messages, size);
    // One that does not fit whole begins the next page.
    isWhole = described === undefined || !size.isFull || reply.conversations.length === 0;
    if (!isWhole) break;
    if (described !== undefined) reply.conversations.push(described);
    last = place;
    yield;
  }
  if (last && !(isWhole && newest.isAll)) reply.before = cursorText({ asOf, after: last });
  return reply;
}

/** Undefined when the user has left it between two steps. */
function* describeListed(
  host: ShardHost,
  unread: GroupUnread,
  user: UserState,
  address: Address,
  messages: number,
  size: AnswerSize,
): Steps<Conversation | undefined> {
  const mayBeShown = (): boolean => isListed(host, user, user.conversation(address));
  if (!mayBeShown()) return undefined;
  try {
    return yield* describeConversation(host, unread, user, address, messages, size);
  } catch (error) {
    if (mayBeShown()) throw error;
    return undefined;
  }
}
