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
import { displayName } from "./display-name.ts";
import { groupEntryFrame, groupMessage, timelineFrame, timelineMessage } from "./entry-frames.ts";
import type { History } from "./types.ts";

/** Above it unread messages of a group are not counted one by one. */
export const GROUP_UNREAD_MAX = 100;
/** A long run of erased messages is read over so far. */
const UNREAD_LOOKED_AT_MAX = 2000;
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
      return describe(host(), user, user.conversations.get(address) ?? new ConversationState(address), lane, messages);
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
  if (isGroup(address)) return groupLane(host, user, memberGroup(host, user, address));
  if (!user.conversations.has(address) && host.userAt(address) === undefined) {
    throw new AppError("unknown_address", `${address}: there is no such user`);
  }
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

/** @throws AppError unknown_address or not_a_member */
export function memberGroup(host: ShardHost, user: UserState, address: GroupAddress): GroupState {
  const group = host.groups.get(address);
  if (group === undefined || group.isDissolved)
    throw new AppError("unknown_address", `${address}: there is no such group`);
  if (!group.members.has(user.user)) throw new AppError("not_a_member", `${address}: you are not in it`);
  return group;
}

function messagesOf(lane: Lane, stored: StoredEntry[]): WireMessage[] {
  return stored.map((entry) => lane.message(entry)).filter((message) => message !== undefined);
}

function pageBackward(lane: Lane, before: number | undefined, limit: number): HistoryPage {
  const found = lane.backward((before ?? END) as Seq, limit + 1);
  const page = found.length > limit ? found.slice(1) : found;
  const reply: HistoryPage = { messages: messagesOf(lane, page) };
  const [first] = page;
  const last = page[page.length - 1];
  if (found.length > limit && first) reply.before = first.seq;
  if (before !== undefined && last && lane.forward(last.seq, 1).length > 0) reply.after = last.seq;
  return reply;
}

function pageForward(lane: Lane, after: number, limit: number): HistoryPage {
  const found = lane.forward(after as Seq, limit + 1);
  const page = found.slice(0, limit);
  const reply: HistoryPage = { messages: messagesOf(lane, page) };
  const [first] = page;
  const last = page[page.length - 1];
  if (first && lane.backward(first.seq, 1).length > 0) reply.before = first.seq;
  if (found.length > limit && last) reply.after = last.seq;
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
  const page = places.slice(0, limit);
  const reply: ConversationsPage = {
    conversations: page.map(({ conversation }) =>
      describe(host, user, conversation, laneOf(host, user, conversation.address), messages),
    ),
  };
  const last = page[page.length - 1];
  if (last && places.length > limit) reply.before = `${last.at}.${last.conversation.address}`;
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
): Conversation {
  const { address, ownRead } = conversation;
  const newest = messagesOf(lane, lane.backward(END, messages));
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
      messages: newest,
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
    messages: newest,
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
  const group = conversation === undefined ? undefined : memberGroup(host, user, conversation);
  const log = group?.log ?? user.log;
  const head = group?.headSeq ?? user.headSeq;
  const stored = log
    .readForward(conversation ?? userAddress(user.user), after as Seq, limit)
    .filter((entry) => entry.seq <= head);
  const frames: ServerFrame[] = stored.map((entry) =>
    group ? groupEntryFrame(host, group, entry, user.user) : timelineFrame(host, user, entry),
  );
  const through = stored[stored.length - 1]?.seq ?? after;
  return { frames, after: through, more: through < head };
}
