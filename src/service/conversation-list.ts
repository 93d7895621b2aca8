/** The list of conversations, newest first, page by page. */
import { AppError } from "../base/errors.ts";
import type { Steps } from "../base/steps.ts";
import { isGroup } from "../domain/address.ts";
import type { Conversation, ConversationsPage } from "../protocol/http-shapes.ts";
import type { ConversationState } from "../shard/conversation-state.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { UserState } from "../shard/user-state.ts";
import type { AnswerSize } from "./answer-size.ts";
import { describeConversation } from "./conversation.ts";
import type { GroupUnread } from "./group-unread.ts";

type Question = { limit: number; messages: number; before?: string };

export function* listConversations(
  host: ShardHost,
  unread: GroupUnread,
  user: UserState,
  { limit, messages, before }: Question,
  size: AnswerSize,
): Steps<ConversationsPage> {
  const from = before === undefined ? undefined : parsePlace(before);
  for (const { address } of user.conversations.values()) if (isGroup(address)) yield* host.groups.steps(address);
  size.looked += user.conversations.size;
  const places = [...user.conversations.values()]
    .filter((conversation) => isListed(host, user, conversation))
    .map((conversation) => ({ conversation, at: lastAtOf(host, conversation) }))
    .sort(newestFirst)
    .filter((place) => from === undefined || newestFirst(from, { at: place.at, conversation: place.conversation }) < 0);
  const reply: ConversationsPage = { conversations: [] };
  let isWhole = true;
  let last: (typeof places)[number] | undefined;
  for (const place of places) {
    isWhole = reply.conversations.length < limit && !size.isFull;
    if (!isWhole) break;
    const described = yield* describeListed(host, unread, user, place.conversation, messages, size);
    // One that does not fit whole begins the next page.
    isWhole = described === undefined || !size.isFull || reply.conversations.length === 0;
    if (!isWhole) break;
    if (described !== undefined) reply.conversations.push(described);
    last = place;
  }
  if (last && !isWhole) reply.before = `${last.at}.${last.conversation.address}`;
  return reply;
}

/** Undefined when the user has left it between two steps. */
function* describeListed(
  host: ShardHost,
  unread: GroupUnread,
  user: UserState,
  conversation: ConversationState,
  messages: number,
  size: AnswerSize,
): Steps<Conversation | undefined> {
  if (!isListed(host, user, conversation)) return undefined;
  try {
    return yield* describeConversation(host, unread, user, conversation.address, messages, size);
  } catch (error) {
    if (isListed(host, user, conversation)) throw error;
    return undefined;
  }
}

type Place = { at: number; conversation: { address: string } };

const newestFirst = (a: Place, b: Place): number =>
  b.at - a.at ||
  (a.conversation.address < b.conversation.address ? -1 : a.conversation.address > b.conversation.address ? 1 : 0);

function parsePlace(before: string): Place {
  const dot = before.indexOf(".");
  const at = Number(before.slice(0, dot));
  if (dot < 1 || !Number.isSafeInteger(at)) throw new AppError("bad_request", "before: take it from the page before");
  return { at, conversation: { address: before.slice(dot + 1) } };
}

function isListed(host: ShardHost, user: UserState, { address, joinedSeq, lastSeq }: ConversationState): boolean {
  if (!isGroup(address)) return lastSeq > 0;
  return joinedSeq > 0 && host.groups.get(address)?.members.has(user.user) === true;
}

const lastAtOf = (host: ShardHost, { address, lastAt }: ConversationState): number =>
  isGroup(address) ? (host.groups.get(address)?.lastAt ?? lastAt) : lastAt;
