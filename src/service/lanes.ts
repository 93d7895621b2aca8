/**
 * One conversation as a run of messages that can be read from both ends, in the timeline or in the log of a group.
 * Durable state only.
 */
import type { Steps } from "../base/steps.ts";
import { isGroup, type Address } from "../domain/address.ts";
import { POSTED_LANE } from "../domain/entries.ts";
import type { WireMessage } from "../protocol/frames.ts";
import type { GroupState } from "../shard/group-state.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { UserState } from "../shard/user-state.ts";
import type { Seq, StoredEntry } from "../../storage/types.ts";
import type { AnswerSize } from "./answer-size.ts";
import { groupMessage, timelineMessage } from "./entry-frames.ts";
import { mustKnowUser, visibleGroup } from "./membership.ts";

/** Before this is the newest. */
export const END = Number.MAX_SAFE_INTEGER as Seq;
/** Entries read at once: a page of the usual size, and one that tells whether there are more. */
export const CHUNK_ENTRIES = 31;

export type Lane = {
  backward(before: Seq, limit: number): StoredEntry[];
  forward(after: Seq, limit: number): StoredEntry[];
  message(stored: StoredEntry): WireMessage | undefined;
};

/** @throws AppError unknown_address or not_a_member */
export function* laneOf(host: ShardHost, user: UserState, address: Address): Steps<Lane> {
  if (isGroup(address)) return groupLane(host, user, yield* visibleGroup(host, user, address));
  yield* mustKnowUser(host, user, address);
  const { log } = user;
  return {
    backward: (before, limit) => log.readLaneBackward(user.address, address, before, limit),
    forward: (after, limit) => log.readLaneForward(user.address, address, after, limit),
    message: (stored) => timelineMessage(host, user, stored),
  };
}

/** Of its present life. */
export function groupLane(host: ShardHost, user: UserState, group: GroupState): Lane {
  const { log, address, bornSeq } = group;
  return {
    backward: (before, limit) => sinceBorn(group, log.readLaneBackward(address, POSTED_LANE, before, limit)),
    forward: (after, limit) => log.readLaneForward(address, POSTED_LANE, Math.max(after, bornSeq - 1) as Seq, limit),
    message: (stored) => groupMessage(host, group, stored, user.user),
  };
}

const sinceBorn = ({ bornSeq }: GroupState, entries: StoredEntry[]): StoredEntry[] =>
  bornSeq === 1 ? entries : entries.filter(({ seq }) => seq >= bornSeq);

/**
 * Of entries in the order in which they count: as many as are wanted and fit. `through` is the last entry that was
 * looked at.
 */
type Gathered = { messages: WireMessage[]; through: Seq | undefined; isAll: boolean };

/** Reads `chunk` by `chunk`, so that no more is read than about what the answer has. */
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
