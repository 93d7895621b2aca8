/**
 * Reads back: pages of a conversation, the list of conversations, entries that a `gap` left out. Durable state only.
 */
import { answered, type Steps } from "../../base/steps.ts";
import { isGroup, type Address, type GroupAddress } from "../../domain/address.ts";
import type { ServerFrame } from "../../protocol/frames.ts";
import type { EntriesPage, HistoryPage } from "../../protocol/http-shapes.ts";
import { viewerOf } from "../authorization.ts";
import { AnswerSize } from "./answer-size.ts";
import { readMembershipHeads, timelineFrame } from "./entry-frames.ts";
import { CHUNK_ENTRIES, ownLane, pageOf } from "./lanes.ts";
import type { Home, Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import type { Seq } from "../../../storage/types.ts";
import { actingUser } from "../acting-user.ts";
import { mustKnowUser, payForStrange } from "./addresses.ts";
import { listConversations } from "./conversation-list.ts";
import { describeConversation } from "./conversation.ts";
import type { ReadBudget } from "./read-budget.ts";
import type { Actor, History } from "../services.ts";

/** `before` and `after`: seqs. */
type PageInput = { before?: number; after?: number; limit: number };

export function createHistory(home: Home, budget: ReadBudget): History {
  /** The call pays for what it looked at when it has been answered or refused. */
  async function paid<T>(
    actor: Actor,
    read: (shard: Shard, user: UserState, cost: AnswerSize) => Steps<T>,
  ): Promise<T> {
    const shard = home(actor.user);
    const user = actingUser(shard, actor);
    budget.check(actor.user);
    const cost = new AnswerSize();
    try {
      return await shard.turns.run(read(shard, user, cost));
    } finally {
      budget.spend(actor.user, cost.work);
    }
  }

  return {
    page: (actor, address, input) => paid(actor, (shard, user, cost) => readPage(shard, user, address, input, cost)),
    conversations: (actor, question) =>
      paid(actor, (shard, user, cost) => listConversations(shard, user, question, cost)),
    conversation: (actor, address, messages) =>
      paid(actor, (shard, user, cost) => describeConversation(shard, user, address, messages, cost)),
    entries: (actor, { conversation: group, after, limit }) =>
      paid(actor, (shard, user, cost) =>
        group === undefined
          ? readTimeline(shard, user, after, limit, cost)
          : readGroup(shard, user, group, after, limit, cost),
      ),
  };
}

/** @throws AppError unknown_address or not_a_member */
function* readPage(
  shard: Shard,
  user: UserState,
  address: Address,
  { before, after, limit }: PageInput,
  size: AnswerSize,
): Steps<HistoryPage> {
  payForStrange(shard, user, address);
  if (!isGroup(address)) {
    yield* mustKnowUser(shard, user, address);
    return pageOf(ownLane(shard, user, address), { before, after, limit }, size);
  }
  const question = { group: address, viewer: viewerOf(user, address), before, after, limit };
  const { page, cost } = yield* answered(shard.router.ask("groupPage", address, question));
  size.add(cost);
  return page;
}

function* readTimeline(
  shard: Shard,
  user: UserState,
  after: number,
  limit: number,
  size: AnswerSize,
): Steps<EntriesPage> {
  const { log, address, headSeq } = user;
  const reply: EntriesPage = { frames: [], after, more: after < headSeq };
  while (reply.more && reply.frames.length < limit) {
    const wanted = Math.min(CHUNK_ENTRIES, limit - reply.frames.length);
    const found = log.readForward(address, reply.after as Seq, wanted).filter(({ seq }) => seq <= headSeq);
    size.looked += found.length;
    yield* readMembershipHeads(shard, user, found);
    for (const stored of found) {
      if (!isAdded(reply, timelineFrame(shard, user, stored), stored.seq, size)) return reply;
    }
    reply.more = reply.after < headSeq;
    if (found.length === 0) break;
    yield;
  }
  return reply;
}

/** @throws AppError unknown_address or not_a_member */
function* readGroup(
  shard: Shard,
  user: UserState,
  group: GroupAddress,
  after: number,
  limit: number,
  size: AnswerSize,
): Steps<EntriesPage> {
  payForStrange(shard, user, group);
  const reply: EntriesPage = { frames: [], after, more: true };
  while (reply.more && reply.frames.length < limit) {
    const wanted = Math.min(CHUNK_ENTRIES, limit - reply.frames.length);
    const question = {
      group,
      viewer: viewerOf(user, group),
      after: reply.after as Seq,
      limit: wanted,
      charactersMax: size.room,
    };
    const { frames, from, headSeq } = yield* answered(shard.router.ask("groupEntries", group, question));
    size.looked += frames.length;
    reply.after = from;
    for (const [at, frame] of frames.entries()) {
      if (!isAdded(reply, JSON.parse(frame) as ServerFrame, from + 1 + at, size)) return reply;
    }
    reply.more = reply.after < headSeq;
    if (frames.length === 0) break;
    yield;
  }
  return reply;
}

/** @returns whether the frame fits into the answer */
function isAdded(reply: EntriesPage, frame: ServerFrame, seq: number, size: AnswerSize): boolean {
  if (!size.has(frame)) return false;
  reply.frames.push(frame);
  reply.after = seq;
  return true;
}
