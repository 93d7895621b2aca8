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
import { AppError } from "../../base/errors.ts";
import { nextTurn } from "../../base/steps.ts";
import { isGroup, userAddress, type Address, type GroupAddress, type UserId } from "../../domain/address.ts";
import type { ErasureStatus } from "../../protocol/http-shapes.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { cellNumber, cellText, SHARD_STREAM } from "../state/cells.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import { writeRecord } from "../durable.ts";
import { RANGES_MAX } from "./erased-files.ts";
import type { ContentErased, ContentToErase } from "../messages/erasing.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";

const MARKER = "erasing/";

/**
 * How far the request goes: what the user sent through `through` of the own timeline, and posted through a seq of each group. `id` tells the requests of a user apart. One of an
 * older version has none: what that version has erased is counted in `before`, since no stream knows of it.
 */
type Request = {
  id?: number;
  requestedAt: number;
  finishedAt?: number;
  through: number;
  groups: Record<string, number>;
  before?: number;
};

export type ErasePorts = {
  isStopped: () => boolean;
  /** So many ranges have gathered that reading goes slow: takes them out of the files of this node. Others look after theirs (erased-files.ts). */
  tidy: () => Promise<void>;
};

const LOOK_AGAIN_MS = 20;
/** A stream in which nothing could be erased for so long is left for later. */
const STALLED_MS_MAX = 60_000;

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
async function taken({ log, handle, address }: UserState, old: Request): Promise<Request> {
  const request: Request = { ...old, id: 1, before: cellNumber(log.cell(address, "erasedEntries")) };
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

class UserErasure {
  readonly #shard: Shard;
  readonly #name: UserId;
  readonly #request: Request;
  readonly #ports: ErasePorts;
  /** In streams that are done. */
  #entries: number;
  #ranges = 0;
  /** Of the last stream that could not be erased from. */
  #failure: { error: unknown } | undefined;

  constructor(shard: Shard, name: UserId, request: Request, ports: ErasePorts) {
    this.#shard = shard;
    this.#name = name;
    this.#request = request;
    this.#ports = ports;
    this.#entries = request.before ?? 0;
  }

  async run(conversations: readonly ConversationState[]): Promise<void> {
    const { through, groups } = this.#request;
    const own = userAddress(this.#name);
    await this.#erase(own, through);
    for (const { address, sentSeq = through } of conversations) {
      if (address === own) continue;
      if (!isGroup(address)) await this.#erase(address, through, Math.min(sentSeq, through));
      else if (groups[address] !== undefined) await this.#erase(address, groups[address]);
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #erase(stream: Address, through: number, last = 0): Promise<void> {
    let stalledAt: number | undefined;
    for (let after = 0 as Seq; ;) {
      if (this.#ports.isStopped()) throw stopped();
      const erased = await this.#ask({ stream, through: through as Seq, last: last as Seq, after });
      if (erased === undefined) return nextTurn();
      await this.#count(this.#entries + erased.entries);
      if (erased.isDone) {
        this.#entries += erased.entries;
        return nextTurn();
      }
      stalledAt = erased.through > after ? undefined : (stalledAt ?? this.#shard.clock.monotonicMs());
      await (stalledAt === undefined ? this.#tidy(erased.ranges) : this.#wait(stalledAt));
      after = erased.through;
    }
  }

  /** @returns undefined when the stream cannot be erased from: the others can all the same */
  async #ask(where: Omit<ContentToErase, "user" | "request">): Promise<ContentErased | undefined> {
    const question = { ...where, user: this.#name, request: this.#request.id! };
    try {
      return await this.#shard.router.ask("eraseContent", where.stream, question);
    } catch (error) {
      this.#failure = { error };
      return undefined;
    }
  }

  /** After a crash it begins anew, below what was counted before. */
  async #count(entries: number): Promise<void> {
    const { log, handle, address } = (await userOf(this.#shard, this.#name))!;
    if (entries <= cellNumber(log.cell(address, "erasedEntries"))) return;
    await writeRecord(log, () => log.putNumbers(handle, "erasedEntries", entries));
  }

  async #tidy(ranges: number): Promise<void> {
    this.#ranges += ranges;
    if (this.#ranges <= RANGES_MAX) return nextTurn();
    await this.#ports.tidy();
    this.#ranges = 0;
  }

  #wait(stalledAt: number): Promise<void> {
    const { clock } = this.#shard;
    if (clock.monotonicMs() - stalledAt > STALLED_MS_MAX)
      throw new AppError("unavailable", "the shard is being flushed; erase again later");
    return new Promise<void>((resolve) => void clock.after(LOOK_AGAIN_MS, resolve));
  }
}

const stopped = (): AppError => new AppError("unavailable", "erasing was stopped; it goes on later");

const userOf = ({ turns, users }: Shard, name: UserId): Promise<UserState | undefined> | UserState | undefined =>
  users.peek(name) ?? turns.run(users.steps(name));

const shardHandle = (log: ShardLog): StreamHandle => new StreamHandle(SHARD_STREAM, log.head(SHARD_STREAM));

const entriesOf = ({ log, address }: UserState): number => cellNumber(log.cell(address, "erasedEntries"));

function requestOf({ log, address }: UserState): Request | undefined {
  const cell = log.cell(address, "erasure");
  return cell === undefined ? undefined : (JSON.parse(cellText(cell)) as Request);
}
