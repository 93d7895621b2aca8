/**
 * Erases a user's content on request, at the user's home: everything in the user's timeline, and what the user wrote in
 * the timelines of others and in groups. Each stream is asked to erase its part at its own shard (erase-content.ts).
 *
 *     step       what                                                     after a crash
 *     request    cell `erasure` of the user, and `erasing/USER` of the    durable: the next start finds it
 *                shard, in one record
 *     asks       own timeline, each user written with, each group         done again; erased messages are passed over
 *     files      LogStore.eraseNow at each node, by the caller            no file has the messages any more
 *     finish     `erasure` gets `finishedAt`, `erasing/USER` is cleared
 *
 * The request covers what was written before it. After a crash at any point the request is still there, and all steps
 * are done again.
 *
 * The number of erased messages is a sum over streams. Each stream keeps its own number, so the sum survives crashes
 * and lost answers.
 *
 * Not erased: the account, memberships, names, the history of members, refs (G2), and what others wrote, in their own
 * timelines.
 */
import { isGroup, userAddress, type Address, type GroupAddress, type UserId } from "../../domain/address.ts";
import type { ErasureStatus } from "../../protocol/http-shapes.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import type { ShardId } from "../../../storage/types.ts";
import { SHARD_STREAM } from "../state/cells.ts";
import { writeRecord } from "../durable.ts";
import { entriesOf, requestOf, userOf, type Request } from "./erasure-request.ts";
import { UserErasure, type ErasePorts } from "./user-erasure.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";

const MARKER = "erasing/";

/** Users of a shard whose content is being erased. */
export const beingErased = (log: ShardLog): UserId[] =>
  [...log.cells(SHARD_STREAM).keys()]
    .filter((key) => key.startsWith(MARKER))
    .map((key) => key.slice(MARKER.length) as UserId);

export function erasureStatus(user: UserState): ErasureStatus {
  const request = requestOf(user);
  if (request === undefined) return { state: "none" };
  const { requestedAt, finishedAt } = request;
  const entries = entriesOf(user);
  return finishedAt === undefined
    ? { state: "running", requestedAt, entries }
    : { state: "done", requestedAt, finishedAt, entries };
}

/**
 * Notes the request of a user, if the user exists. A request under way is left as it is. Resolves when durable.
 * @throws AppError unavailable if a group cannot tell its end, which would leave the request without a bound
 */
export async function requestErasure(shard: Shard, name: UserId): Promise<void> {
  const asked = await userOf(shard, name);
  if (asked === undefined || erasureStatus(asked).state === "running") return;
  const groups = await groupEnds(shard, [...asked.conversations.keys()].filter(isGroup));
  const user = (await userOf(shard, name))!;
  const request: Request = {
    id: (requestOf(user)?.id ?? 0) + 1,
    requestedAt: shard.clock.now(),
    through: user.nextSeq - 1,
    groups,
  };
  await writeRecord(user.log, (log) => {
    log.putCell(user.handle, "erasure", Buffer.from(JSON.stringify(request)));
    log.putNumbers(user.handle, "erasedEntries", 0);
    log.putNumbers(shardHandle(log), MARKER + name, request.requestedAt);
  });
}

/**
 * Ends of the groups after the call began. The groups are asked, since the user's home may not know of all posts yet.
 * Posts on their way to a group's log count as before the request.
 */
async function groupEnds(shard: Shard, groups: readonly GroupAddress[]): Promise<Request["groups"]> {
  const ends: Request["groups"] = {};
  const ask = async (group: GroupAddress): Promise<void> => {
    const end = await shard.router.ask("groupEnd", group, { group });
    if (end !== undefined) ends[group] = end.through;
  };
  await Promise.all(groups.map(ask));
  return ends;
}

/**
 * Called after a repair, which may have brought erased messages back: opens the request again, with its old bounds.
 * @param endOf the bound in groups where messages may have come back; bounds of groups are forgotten at the finish
 */
export async function reopenErasure(
  user: UserState,
  endOf: (group: GroupAddress, requestedAt: number) => number,
): Promise<void> {
  const { finishedAt: _, ...request } = requestOf(user)!;
  const groups = { ...request.groups };
  for (const address of user.conversations.keys()) {
    if (!isGroup(address)) continue;
    const end = endOf(address, request.requestedAt);
    if (end > (groups[address] ?? 0)) groups[address] = end;
  }
  await writeRecord(user.log, (log) => {
    log.putCell(user.handle, "erasure", Buffer.from(JSON.stringify({ ...request, groups })));
    log.putNumbers(shardHandle(log), MARKER + user.user, request.requestedAt);
  });
}

/**
 * Erases everything that the request covers. @throws AppError unavailable if it was stopped; or the refusal of a stream
 * that could not be erased from, after all others are done
 */
export async function eraseRequested(shard: Shard, name: UserId, ports: ErasePorts): Promise<void> {
  const user = await userOf(shard, name);
  let request = user && requestOf(user);
  if (user === undefined || request === undefined || request.finishedAt !== undefined) return;
  if (request.id === undefined) request = await withId(user, request);
  await new UserErasure(shard, name, request, ports).run([...user.conversations.values()]);
}

/**
 * Whether the erased messages are gone from all files, according to all shards of the request. A shard where they may
 * remain tells its node to empty its files.
 * @throws AppError if one of them does not answer
 */
export async function isGoneFromFiles(shard: Shard, name: UserId): Promise<boolean> {
  const user = await userOf(shard, name);
  const streams = new Map<ShardId, Address>([[shard.id, userAddress(name)]]);
  for (const { address, shard: id } of user?.conversations.values() ?? []) streams.set(id, address);
  const ask = async (stream: Address): Promise<boolean> =>
    (await shard.router.ask("erasedFromFiles", stream, { stream })).isGone;
  const answers = await Promise.all([...streams.values()].map(ask));
  return answers.every((isGone) => isGone);
}

/** A request of an older version gets an id. */
async function withId(user: UserState, old: Request): Promise<Request> {
  const { log, handle } = user;
  const request: Request = { ...old, id: 1, before: entriesOf(user) };
  await writeRecord(log, () => log.putCell(handle, "erasure", Buffer.from(JSON.stringify(request))));
  return request;
}

/** Called when every file is rid of the messages. */
export async function finishErasure(shard: Shard, name: UserId): Promise<void> {
  const user = await userOf(shard, name);
  const request = user && requestOf(user);
  await writeRecord(shard.logFor(userAddress(name)), (log) => {
    if (user !== undefined && request !== undefined) {
      const finished: Request = { ...request, groups: {}, finishedAt: request.finishedAt ?? shard.clock.now() };
      log.putCell(user.handle, "erasure", Buffer.from(JSON.stringify(finished)));
    }
    log.putCell(shardHandle(log), MARKER + name, null);
  });
  if (user !== undefined) user.erasureEndedMs = shard.clock.monotonicMs();
}

const shardHandle = (log: ShardLog): StreamHandle => new StreamHandle(SHARD_STREAM, log.head(SHARD_STREAM));
