/** Reading back: pages of a conversation, the list of conversations, entries that a gap left out. Durable state only. */
import type { ServerFrame } from "../protocol/frames.ts";
import type { EntriesPage, HistoryPage } from "../protocol/http-shapes.ts";
import type { GroupState } from "../shard/group-state.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { UserState } from "../shard/user-state.ts";
import type { Seq } from "../../storage/types.ts";
import { actingUser } from "./acting-user.ts";
import { AnswerSize } from "./answer-size.ts";
import { listConversations } from "./conversation-list.ts";
import { describeConversation } from "./conversation.ts";
import { groupEntryFrame, timelineFrame } from "./entry-frames.ts";
import { GroupUnread } from "./group-unread.ts";
import { CHUNK_ENTRIES, END, gather, laneOf, newest, type Lane } from "./lanes.ts";
import { visibleGroup } from "./membership.ts";
import type { ReadBudget } from "./read-budget.ts";
import type { Actor, History } from "./types.ts";

export function createHistory(host: () => ShardHost, budget: ReadBudget): History {
  const unread = new GroupUnread();

  /** What a call looked at is paid when it has been answered, or refused. */
  async function paid<T>(
    actor: Actor,
    read: (shards: ShardHost, user: UserState, cost: AnswerSize) => Promise<T> | T,
  ): Promise<T> {
    const shards = host();
    const user = actingUser(shards, actor);
    budget.check(actor.user);
    const cost = new AnswerSize();
    try {
      return await read(shards, user, cost);
    } finally {
      budget.spend(actor.user, cost.work);
    }
  }

  return {
    page: (actor, address, { before, after, limit }) =>
      paid(actor, async (shards, user, cost) => {
        const lane = await shards.turns.run(laneOf(shards, user, address));
        return after === undefined ? pageBackward(lane, before, limit, cost) : pageForward(lane, after, limit, cost);
      }),
    conversations: (actor, question) =>
      paid(actor, (shards, user, cost) => shards.turns.run(listConversations(shards, unread, user, question, cost))),
    conversation: (actor, address, messages) =>
      paid(actor, (shards, user, cost) =>
        shards.turns.run(describeConversation(shards, unread, user, address, messages, cost)),
      ),
    entries: (actor, { conversation, after, limit }) =>
      paid(actor, async (shards, user, cost) => {
        const group = conversation && (await shards.turns.run(visibleGroup(shards, user, conversation)));
        return readEntries(shards, user, group, after, limit, cost);
      }),
  };
}

function pageBackward(lane: Lane, before: number | undefined, limit: number, size: AnswerSize): HistoryPage {
  const { messages, through, isAll } = newest(lane, (before ?? END) as Seq, limit, size);
  const reply: HistoryPage = { messages };
  const last = messages.at(-1);
  if (!isAll && through !== undefined) reply.before = through;
  if (before !== undefined && last && lane.forward(last.seq as Seq, 1).length > 0) reply.after = last.seq;
  return reply;
}

function pageForward(lane: Lane, after: number, limit: number, size: AnswerSize): HistoryPage {
  const { messages, through, isAll } = gather(lane, limit, size, (from, count) =>
    lane.forward(from ?? (after as Seq), count),
  );
  const reply: HistoryPage = { messages };
  const [first] = messages;
  if (first && lane.backward(first.seq as Seq, 1).length > 0) reply.before = first.seq;
  if (!isAll && through !== undefined) reply.after = through;
  return reply;
}

function readEntries(
  host: ShardHost,
  user: UserState,
  group: GroupState | undefined,
  after: number,
  limit: number,
  size: AnswerSize,
): EntriesPage {
  const log = group?.log ?? user.log;
  const head = group?.headSeq ?? user.headSeq;
  const stream = group?.address ?? user.address;
  const from = Math.max(after, (group?.bornSeq ?? 1) - 1);
  const reply: EntriesPage = { frames: [], after: from, more: from < head };
  while (reply.more && reply.frames.length < limit) {
    const wanted = Math.min(CHUNK_ENTRIES, limit - reply.frames.length);
    const found = log.readForward(stream, reply.after as Seq, wanted).filter((entry) => entry.seq <= head);
    size.looked += found.length;
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
