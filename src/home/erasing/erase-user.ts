/**
 * Erasing a user's content on request, at the user's home: everything in the user's timeline, and what the user wrote in the timelines of others and in groups. Each stream is
 * asked to do it at its own shard (erase-content.ts).
 *
 *     request    cell `erasure` of the user, and `erasing/USER` of the shard, in one record      durable: whoever starts next finds it
 *     asks       own timeline, then each of those written with, then each group                   what is gone is passed over when it is done again
 *     files      LogStore.eraseNow, by the caller, at each node                                   no file has it any more
 *     finish     cell `erasure` says so, `erasing/USER` is cleared
 *
 * Meant is what was written before the request. A crash anywhere in between leaves the request, and all is gone through again.
 *
 * How many messages went is a sum over streams. Each stream knows its own number, so the sum is the same after a crash, and after answers that were lost.
 *
 * Not erased: the account, memberships, names, who was in which group, refs (G2), and what others wrote, where they have it.
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
 * Notes the request of a user who is there. One that is under way is left as it is. Resolves when it is durable.
 * @throws AppError unavailable when a group cannot say how far it goes: then nobody would know how far the request does
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

/** As of after the call. What was posted may not be known here yet, so the groups are asked. What is on its way to their logs is before the request, too. */
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
 * After a repair, which may have brought back what was erased: the request is open again, and means what it meant.
 * @param endOf how far it goes in groups in which something may have come back: that is forgotten when it is finished
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

/** Has all that the request means erased. @throws AppError unavailable when it was stopped; what a stream answered that cannot be erased from, when all others are done */
export async function eraseRequested(shard: Shard, name: UserId, ports: ErasePorts): Promise<void> {
  const user = await userOf(shard, name);
  let request = user && requestOf(user);
  if (user === undefined || request === undefined || request.finishedAt !== undefined) return;
  if (request.id === undefined) request = await taken(user, request);
  await new UserErasure(shard, name, request, ports).run([...user.conversations.values()]);
}

/**
 * Whether no file has it any more, as far as the shards say that were asked to erase. Where one may have it, its node is told to see to that.
 * @throws AppError when one of them does not answer
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

/** From an older version. */
async function taken(user: UserState, old: Request): Promise<Request> {
  const { log, handle } = user;
  const request: Request = { ...old, id: 1, before: entriesOf(user) };
  await writeRecord(log, () => log.putCell(handle, "erasure", Buffer.from(JSON.stringify(request))));
  return request;
}

/** Every file is rid of it. */
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
