/** The messages of one conversation, readable from both ends, in a timeline or in a group's log. Durable state only. */
import type { UserAddress, UserId } from "../../domain/address.ts";
import { POSTED_LANE } from "../../domain/entries.ts";
import type { WireMessage } from "../../protocol/frames.ts";
import type { HistoryPage } from "../../protocol/http-shapes.ts";
import type { Seq, StoredEntry } from "../../../storage/types.ts";
import type { GroupState } from "../state/group-state.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import type { AnswerSize } from "./answer-size.ts";
import { groupMessage, timelineMessage } from "./entry-frames.ts";

/** Behind the newest entry. */
export const END = Number.MAX_SAFE_INTEGER as Seq;
/** Entries read at once: a page of the usual size, and one more that tells whether there are more. */
export const CHUNK_ENTRIES = 31;

export type Lane = {
  backward(before: Seq, limit: number): StoredEntry[];
  forward(after: Seq, limit: number): StoredEntry[];
  message(stored: StoredEntry): WireMessage | undefined;
  /** What `ask` reads costs one look at the files. */
  within<T>(ask: () => T): T;
};

export function ownLane(shard: Shard, user: UserState, address: UserAddress): Lane {
  const { log } = user;
  return {
    backward: (before, limit) => log.readLaneBackward(user.address, address, before, limit),
    forward: (after, limit) => log.readLaneForward(user.address, address, after, limit),
    message: (stored) => timelineMessage(shard, user, stored),
    within: (ask) => log.within(ask),
  };
}

/** Of the group's present life. */
export function groupLane(shard: Shard, viewer: UserId, group: GroupState): Lane {
  const { log, address, bornSeq } = group;
  return {
    backward: (before, limit) => sinceBorn(group, log.readLaneBackward(address, POSTED_LANE, before, limit)),
    forward: (after, limit) => log.readLaneForward(address, POSTED_LANE, Math.max(after, bornSeq - 1) as Seq, limit),
    message: (stored) => groupMessage(shard, group, stored, viewer),
    within: (ask) => log.within(ask),
  };
}

const sinceBorn = ({ bornSeq }: GroupState, entries: StoredEntry[]): StoredEntry[] =>
  bornSeq === 1 ? entries : entries.filter(({ seq }) => seq >= bornSeq);

/** Messages in the order of reading, as many as are wanted and fit. `through`: the last entry that was looked at. */
type Gathered = { messages: WireMessage[]; through: Seq | undefined; isAll: boolean };

/** Reads `chunk` by `chunk`, so that little more is read than the answer holds. */
export function gather(
  lane: Lane,
  limit: number,
  size: AnswerSize,
  chunk: (from: Seq | undefined, limit: number) => StoredEntry[],
): Gathered {
  const gathered: Gathered = { messages: [], through: undefined, isAll: false };
  for (let count = 0; ;) {
    const wanted = Math.min(CHUNK_ENTRIES, limit - count + 1);
    const found = chunk(gathered.through, wanted);
    size.looked += found.length;
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

export const newest = (lane: Lane, before: Seq, limit: number, size: AnswerSize): Gathered => {
  const gathered = gather(lane, limit, size, (from, count) => lane.backward(from ?? before, count).reverse());
  gathered.messages.reverse();
  return gathered;
};

/** Messages before or after a seq; without both, the newest. */
export const pageOf = (
  lane: Lane,
  { before, after, limit }: { before: number | undefined; after: number | undefined; limit: number },
  size: AnswerSize,
): HistoryPage =>
  lane.within(() =>
    after === undefined ? pageBackward(lane, before, limit, size) : pageForward(lane, after, limit, size),
  );

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
