/** Reading back: pages of a conversation, the list of conversations, entries that a gap left out. Durable state only. */
import { AppError } from "../base/errors.ts";
import { isGroup, userAddress, type Address, type GroupAddress, type UserId } from "../domain/address.ts";
import { authorOf, POSTED_LANE } from "../domain/entries.ts";
import type { ServerFrame, WireMessage } from "../protocol/frames.ts";
import type { Conversation, ConversationsPage, EntriesPage, HistoryPage } from "../protocol/http-shapes.ts";
import { ConversationState } from "../shard/conversation-state.ts";
import type { GroupState } from "../shard/group-state.ts";
import { keptThrough } from "../shard/keep.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { UserState } from "../shard/user-state.ts";
import type { Seq, StoredEntry } from "../../storage/types.ts";
import { actingUser } from "./acting-user.ts";
import { AnswerSize } from "./answer-size.ts";
import { displayName } from "./display-name.ts";
import { groupEntryFrame, groupMessage, timelineFrame, timelineMessage } from "./entry-frames.ts";
import { mustKnowUser, visibleGroup } from "./membership.ts";
import type { History } from "./types.ts";

/** Above it unread messages of a group are not counted one by one. */
export const GROUP_UNREAD_MAX = 100;
/** A long run of erased messages is read over so far. */
const UNREAD_LOOKED_AT_MAX = 2000;
/** Entries read at once: a page of the usual size, and one that tells whether there are more. */
const CHUNK_ENTRIES = 31;
const END = Number.MAX_SAFE_INTEGER as Seq;

export function createHistory(host: () => ShardHost): History {
  return {
    async page(actor, address, { before, after, limit }) {
      const lane = laneOf(host(), actingUser(host(), actor), address);
      return after === undefined ? pageBackward(lane, before, limit) : pageForward(lane, after, limit);
    },
    async conversations(actor, { limit, messages, before }) {
      return listConversations(host(), actingUser(host(), actor), limit, messages, before);
    },
    async conversation(actor, address, messages) {
      const user = actingUser(host(), actor);
      const lane = laneOf(host(), user, address);
      const conversation = user.conversations.get(address) ?? new ConversationState(address);
      return describe(host(), user, conversation, lane, messages, new AnswerSize());
    },
    async entries(actor, { conversation, after, limit }) {
      return readEntries(host(), actingUser(host(), actor), conversation, after, limit);
    },
  };
}

/** One conversation as a run of messages that can be read from both ends. */
type Lane = {
  backward(before: Seq, limit: number): StoredEntry[];
  forward(after: Seq, limit: number): StoredEntry[];
  message(stored: StoredEntry): WireMessage | undefined;
};

/** @throws AppError unknown_address or not_a_member */
function laneOf(host: ShardHost, user: UserState, address: Address): Lane {
  if (isGroup(address)) return groupLane(host, user, visibleGroup(host, user, address));
  mustKnowUser(host, user, address);
  const { log } = user;
  return {
    backward: (before, limit) => log.readLaneBackward(user.address, address, before, limit),
    forward: (after, limit) => log.readLaneForward(user.address, address, after, limit),
    message: (stored) => timelineMessage(host, user, stored),
  };
}

function groupLane(host: ShardHost, user: UserState, group: GroupState): Lane {
  const { log, address } = group;
  return {
    backward: (before, limit) => log.readLaneBackward(address, POSTED_LANE, before, limit),
    forward: (after, limit) => log.readLaneForward(address, POSTED_LANE, after, limit),
    message: (stored) => groupMessage(host, group, stored, user.user),
  };
}

/** Of entries in the order in which they count: as many as are wanted and fit. `through` is the last entry that was looked at. */
type Gathered = { messages: WireMessage[]; through: Seq | undefined; isAll: boolean };

/** Reads `chunk` by `chunk`, so that no more is read than about what the answer has. */
function gather(
  lane: Lane,
  limit: number,
  size: AnswerSize,
  chunk: (from: Seq | undefined, limit: number) => StoredEntry[],
): Gathered {
  const gathered: Gathered = { messages: [], through: undefined, isAll: false };
  for (let count = 0; ;) {
    const wanted = Math.min(CHUNK_ENTRIES, limit - count + 1);
    const found = chunk(gathered.through, wanted);
    for (const stored of found) {
      if (count === limit) return gathered;
      const message = lane.message(stored);
      if (message !== undefined && !size.has(message)) return gathered;
      if (message !== undefined) gathered.messages.push(message);
      gathered.through = stored.seq;
      count++;
    }
    if (found.length < wanted) return { ...gathered, isAll: true };
  }
}

const newest = (lane: Lane, before: Seq, limit: number, size: AnswerSize): Gathered => {
  const gathered = gather(lane, limit, size, (from, count) => lane.backward(from ?? before, count).reverse());
  gathered.messages.reverse();
  return gathered;
};

function pageBackward(lane: Lane, before: number | undefined, limit: number): HistoryPage {
  const { messages, through, isAll } = newest(lane, (before ?? END) as Seq, limit, new AnswerSize());
  const reply: HistoryPage = { messages };
  const last = messages.at(-1);
  if (!isAll && through !== undefined) reply.before = through;
  if (before !== undefined && last && lane.forward(last.seq as Seq, 1).length > 0) reply.after = last.seq;
  return reply;
}

function pageForward(lane: Lane, after: number, limit: number): HistoryPage {
  const size = new AnswerSize();
  const { messages, through, isAll } = gather(lane, limit, size, (from, count) =>
    lane.forward(from ?? (after as Seq), count),
  );
  const reply: HistoryPage = { messages };
  const [first] = messages;
  if (first && lane.backward(first.seq as Seq, 1).length > 0) reply.before = first.seq;
  if (!isAll && through !== undefined) reply.after = through;
  return reply;
}

function listConversations(
  host: ShardHost,
  user: UserState,
  limit: number,
  messages: number,
  before: string | undefined,
): ConversationsPage {
  const from = before === undefined ? undefined : parsePlace(before);
  const places = [...user.conversations.values()]
    .filter((conversation) => isListed(host, user, conversation))
    .map((conversation) => ({ conversation, at: lastAtOf(host, conversation) }))
    .sort(newestFirst)
    .filter((place) => from === undefined || newestFirst(from, { at: place.at, conversation: place.conversation }) < 0);
  const reply: ConversationsPage = { conversations: [] };
  const size = new AnswerSize();
  let last: (typeof places)[number] | undefined;
  for (const place of places) {
    if (reply.conversations.length === limit || size.isFull) break;
    const { conversation } = place;
    const described = describe(host, user, conversation, laneOf(host, user, conversation.address), messages, size);
    // One that does not fit whole begins the next page.
    if (size.isFull && reply.conversations.length > 0) break;
    reply.conversations.push(described);
    last = place;
  }
  if (last && places.length > reply.conversations.length) reply.before = `${last.at}.${last.conversation.address}`;
  return reply;
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

function describe(
  host: ShardHost,
  user: UserState,
  conversation: ConversationState,
  lane: Lane,
  messages: number,
  size: AnswerSize,
): Conversation {
  const { address, ownRead } = conversation;
  const shown = newest(lane, END, messages, size).messages;
  if (!isGroup(address)) {
    const { unread, lastSeq, seen, delivered } = conversation;
    return {
      conversation: address,
      name: displayName(host, address),
      unread,
      lastSeq,
      readThrough: seen,
      deliveredThrough: delivered,
      ownReadThrough: ownRead,
      messages: shown,
    };
  }
  const group = host.groups.get(address)!;
  const others = othersMarks(group, user.user);
  return {
    conversation: address,
    name: group.name,
    unread: unreadInGroup(group, user.user, Math.max(ownRead, conversation.joinedSeq) as Seq),
    lastSeq: group.headSeq,
    readThrough: others.seen,
    deliveredThrough: others.delivered,
    ownReadThrough: ownRead,
    messages: shown,
  };
}

function othersMarks(group: GroupState, self: UserId): { seen: number; delivered: number } {
  const others = { seen: 0, delivered: 0 };
  for (const [member, marks] of group.marks) {
    if (member === self) continue;
    others.seen = Math.max(others.seen, marks.seen);
    others.delivered = Math.max(others.delivered, marks.delivered);
  }
  return others;
}

/** Counts among the next entries that are not erased. Behind more than are looked at there may be others: then it says fewer. */
function unreadInGroup(group: GroupState, self: UserId, read: Seq): number {
  const { log, address } = group;
  let unread = 0;
  let counted = 0;
  let after = Math.max(read, keptThrough(log, address)) as Seq;
  for (let looked = 0; looked < UNREAD_LOOKED_AT_MAX; looked += GROUP_UNREAD_MAX) {
    const page = log.readLaneForward(address, POSTED_LANE, after, GROUP_UNREAD_MAX);
    for (const stored of page) {
      const author = authorOf(stored);
      if (author === undefined || ++counted > GROUP_UNREAD_MAX) continue;
      if (author !== self) unread++;
    }
    const last = page[GROUP_UNREAD_MAX - 1];
    if (last === undefined || counted >= GROUP_UNREAD_MAX) break;
    after = last.seq;
  }
  return unread;
}

function readEntries(
  host: ShardHost,
  user: UserState,
  conversation: GroupAddress | undefined,
  after: number,
  limit: number,
): EntriesPage {
  const group = conversation === undefined ? undefined : visibleGroup(host, user, conversation);
  const log = group?.log ?? user.log;
  const head = group?.headSeq ?? user.headSeq;
  const stream = conversation ?? userAddress(user.user);
  const reply: EntriesPage = { frames: [], after, more: after < head };
  const size = new AnswerSize();
  while (reply.more && reply.frames.length < limit) {
    const wanted = Math.min(CHUNK_ENTRIES, limit - reply.frames.length);
    const found = log.readForward(stream, reply.after as Seq, wanted).filter((entry) => entry.seq <= head);
    for (const stored of found) {
      const frame: ServerFrame = group
        ? groupEntryFrame(host, group, stored, user.user)
        : timelineFrame(host, user, stored);
      if (!size.has(frame)) return reply;
      reply.frames.push(frame);
      reply.after = stored.seq;
    }
    reply.more = reply.after < head;
    if (found.length === 0) break;
  }
  return reply;
}
