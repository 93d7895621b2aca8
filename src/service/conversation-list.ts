/** The list of conversations, newest first, page by page. */
import { AppError } from "../base/errors.ts";
import type { Steps } from "../base/steps.ts";
import { isGroup } from "../domain/address.ts";
import type { Conversation, ConversationsPage } from "../protocol/http-shapes.ts";
import type { ConversationState } from "../shard/conversation-state.ts";
import { stepsUnlessDamaged, unlessDamaged } from "../shard/damage.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { UserState } from "../shard/user-state.ts";
import type { AnswerSize } from "./answer-size.ts";
import { describeConversation } from "./conversation.ts";
import type { GroupUnread } from "./group-unread.ts";

/** Conversations that are looked at in one step. */
const LOOKS_PER_STEP = 200;

type Question = { limit: number; messages: number; before?: string };

export function* listConversations(
  host: ShardHost,
  unread: GroupUnread,
  user: UserState,
  { limit, messages, before }: Question,
  size: AnswerSize,
): Steps<ConversationsPage> {
  const from = before === undefined ? undefined : parsePlace(before);
  size.looked += user.conversations.size;
  const newest = new NewestPlaces(limit + 1);
  yield* newest.look(host, user, from);
  const places = newest.taken();
  const reply: ConversationsPage = { conversations: [] };
  let isWhole = true;
  let last: ListedPlace | undefined;
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
  if (last && !(isWhole && newest.isAll)) reply.before = `${last.at}.${last.conversation.address}`;
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

type ListedPlace = { at: number; conversation: ConversationState };

/** The newest places of a list, at most so many: there may be very many conversations, and groups that are not loaded, so they are looked at in steps. */
class NewestPlaces {
  readonly #countMax: number;
  #places: ListedPlace[] = [];
  /** Whether there are no others. */
  isAll = true;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /** Looks at all behind `from`. */
  *look(host: ShardHost, user: UserState, from: Place | undefined): Steps<void> {
    let looked = 0;
    for (const conversation of user.conversations.values()) {
      if (isGroup(conversation.address)) yield* stepsUnlessDamaged(host.groups.steps(conversation.address));
      if (++looked % LOOKS_PER_STEP === 0) yield;
      if (!isListed(host, user, conversation)) continue;
      const place = { conversation, at: lastAtOf(host, conversation) };
      if (from !== undefined && newestFirst(from, place) >= 0) continue;
      this.#places.push(place);
      if (this.#places.length >= 2 * this.#countMax + LOOKS_PER_STEP) this.taken();
    }
  }

  /** Newest first. */
  taken(): ListedPlace[] {
    this.#places.sort(newestFirst);
    if (this.#places.length > this.#countMax) this.isAll = false;
    return (this.#places = this.#places.slice(0, this.#countMax));
  }
}

function parsePlace(before: string): Place {
  const dot = before.indexOf(".");
  const at = Number(before.slice(0, dot));
  if (dot < 1 || !Number.isSafeInteger(at)) throw new AppError("bad_request", "before: take it from the page before");
  return { at, conversation: { address: before.slice(dot + 1) } };
}

function isListed(host: ShardHost, user: UserState, { address, joinedSeq, lastSeq }: ConversationState): boolean {
  if (!isGroup(address)) return lastSeq > 0;
  // One whose data is damaged cannot be shown, and keeps no other from being shown.
  return joinedSeq > 0 && unlessDamaged(() => host.groups.get(address))?.members.has(user.user) === true;
}

const lastAtOf = (host: ShardHost, { address, lastAt }: ConversationState): number =>
  isGroup(address) ? (host.groups.get(address)?.lastAt ?? lastAt) : lastAt;
