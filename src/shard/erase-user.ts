/**
 * Erasing a user's content on request: everything in the user's timeline, and what the user wrote in the timelines of others and in groups.
 *
 *     request    cell `erasure` of the user, and `erasing/USER` of the shard, in one record      durable: whoever starts next finds it
 *     passes     own timeline, then each of those written with, then each group, a page a record  what is gone is passed over when it is done again
 *     files      LogStore.eraseNow, by the caller                                                 no file has it any more
 *     finish     cell `erasure` says so, `erasing/USER` is cleared
 *
 * Meant is what was written before the request. A crash anywhere in between leaves the request, and all is gone through again.
 *
 * Not erased: the account, memberships, names, who was in which group, refs (G2), and what others wrote, where they have it.
 */
import { AppError } from "../base/errors.ts";
import { nextTurn } from "../base/steps.ts";
import {
  isGroup,
  userAddress,
  type Address,
  type GroupAddress,
  type UserAddress,
  type UserId,
} from "../domain/address.ts";
import { POSTED_LANE, readGroupEntry } from "../domain/entries.ts";
import type { ErasureStatus } from "../protocol/http-shapes.ts";
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../storage/shard/staged-record.ts";
import type { Seq } from "../../storage/types.ts";
import { cellNumber, cellText, SHARD_STREAM } from "./cells.ts";
import { writeRecord } from "./durable.ts";
import { isDamage } from "./damage.ts";
import { eraseEntries, flushed, gatherDirect, gatherPosted, type Page } from "./erasure.ts";
import type { GroupState } from "./group-state.ts";
import { loadState } from "./load-state.ts";
import type { Shards } from "./shards.ts";
import type { UserState } from "./user-state.ts";

const MARKER = "erasing/";

/** How far the request goes: what the user sent through `through` of the own timeline, and posted through a seq of each group. */
type Request = { requestedAt: number; finishedAt?: number; through: number; groups: Record<string, number> };

export type ErasePorts = {
  isStopped: () => boolean;
  /** So many ranges have gathered that reading goes slow: takes them out of the files. */
  tidy: () => Promise<void>;
};

const RANGES_MAX = 4000;
const LOOK_PAGE = 1000;

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

/** Notes the request. One that is under way is left as it is. Resolves when it is durable. Cheap when the heads of the user's groups, former ones too, have been read. */
export async function requestErasure(host: Shards, user: UserState): Promise<void> {
  if (erasureStatus(user).state === "running") return;
  const groups: Request["groups"] = {};
  for (const address of user.conversations.keys()) {
    if (!isGroup(address)) continue;
    // Refused where its data is damaged: nobody knows then how far the request goes.
    host.log(address);
    const head = host.groupHeads.of(address);
    // What is on its way to the log is before the request, too; to a group that is not loaded nothing is.
    if (head !== undefined) groups[address] = (host.groups.peek(head.address)?.nextSeq ?? head.headSeq + 1) - 1;
  }
  const request: Request = { requestedAt: host.clock.now(), through: user.nextSeq - 1, groups };
  await writeRecord(user.log, (log) => {
    log.putCell(user.handle, "erasure", Buffer.from(JSON.stringify(request)));
    log.putNumbers(user.handle, "erasedEntries", 0);
    log.putNumbers(shardHandle(log), MARKER + user.user, request.requestedAt);
  });
}

/**
 * After a repair, which may have brought back what was erased: the request is open again, and means what it meant. How
 * far it went in a group is forgotten when it is finished, so there the times of messages tell.
 * @param isMeant groups in which something may have come back
 */
export async function reopenErasure(
  host: Shards,
  user: UserState,
  isMeant: (group: GroupAddress) => boolean,
): Promise<void> {
  const { finishedAt: _, ...request } = requestOf(user)!;
  const groups = { ...request.groups };
  for (const address of user.conversations.keys()) {
    if (!isGroup(address) || !isMeant(address)) continue;
    groups[address] = Math.max(groups[address] ?? 0, lastPostBefore(host, user.user, address, request));
  }
  await writeRecord(user.log, (log) => {
    log.putCell(user.handle, "erasure", Buffer.from(JSON.stringify({ ...request, groups })));
    log.putNumbers(shardHandle(log), MARKER + user.user, request.requestedAt);
  });
}

function lastPostBefore(
  host: Shards,
  author: UserId,
  address: GroupAddress,
  { requestedAt: at }: Pick<Request, "requestedAt">,
): number {
  const log = host.log(address);
  let last = 0;
  for (let after = 0 as Seq; ;) {
    const page = log.readLaneForward(address, POSTED_LANE, after, LOOK_PAGE);
    for (const stored of page) {
      const entry = readGroupEntry(stored);
      if (entry.kind === "posted" && entry.author === author && entry.sentAt <= at) last = stored.seq;
    }
    if (page.length < LOOK_PAGE) return last;
    after = page.at(-1)!.seq;
  }
}

/** Makes tombstones of all that the request means. @throws AppError unavailable as `eraseEntries` does, and when it was stopped */
export async function eraseRequested(host: Shards, name: UserId, ports: ErasePorts): Promise<void> {
  const user = host.users.get(name);
  const request = user && requestOf(user);
  if (user === undefined || request === undefined || request.finishedAt !== undefined) return;
  await new UserErasure(host, name, request, ports).run([...user.conversations.keys()]);
}

/** Every file is rid of it. */
export async function finishErasure(host: Shards, name: UserId): Promise<void> {
  const user = host.users.get(name);
  const request = user && requestOf(user);
  await writeRecord(host.log(userAddress(name)), (log) => {
    if (user !== undefined && request !== undefined) {
      const finished: Request = { ...request, groups: {}, finishedAt: request.finishedAt ?? host.clock.now() };
      log.putCell(user.handle, "erasure", Buffer.from(JSON.stringify(finished)));
    }
    log.putCell(shardHandle(log), MARKER + name, null);
  });
  if (user !== undefined) user.erasureEndedMs = host.clock.monotonicMs();
}

class UserErasure {
  readonly #host: Shards;
  readonly #name: UserId;
  readonly #address: UserAddress;
  readonly #request: Request;
  readonly #ports: ErasePorts;
  #ranges = 0;

  constructor(host: Shards, name: UserId, request: Request, ports: ErasePorts) {
    this.#host = host;
    this.#name = name;
    this.#address = userAddress(name);
    this.#request = request;
    this.#ports = ports;
  }

  /** @throws at its end, when something could not be reached since it is damaged: all else is erased by then */
  async run(conversations: Address[]): Promise<void> {
    await this.#own();
    let damage: Error | undefined;
    for (const address of conversations) {
      if (address === this.#address) continue;
      try {
        if (isGroup(address)) await this.#posted(address);
        else await this.#taken(address);
      } catch (error) {
        if (!isDamage(error)) throw error;
        damage = error as Error;
      }
    }
    if (damage !== undefined) throw damage;
  }

  /** Both ways: what others sent stays with them. */
  #own(): Promise<void> {
    const { through } = this.#request;
    return this.#pass(this.#address, (after) => {
      if (after >= through) return undefined;
      const state = this.#host.userAt(this.#address)!;
      // Seqs say where the request ends; a page may go beyond it.
      const page = gatherDirect(state, undefined, after, through as Seq, () => "erase");
      return { state, page };
    });
  }

  #taken(peer: Address): Promise<void> {
    const { through } = this.#request;
    return this.#pass(peer, (after) => {
      const state = this.#host.userAt(peer);
      if (state === undefined) return undefined;
      const page = gatherDirect(state, this.#address, after, state.headSeq, (message) => {
        if (message.kind === "sent") return "keep";
        return message.fromSeq <= through ? "erase" : "end";
      });
      return { state, page };
    });
  }

  #posted(address: GroupAddress): Promise<void> {
    const through = this.#request.groups[address] ?? 0;
    return this.#pass(address, (after) => {
      const state = after < through ? this.#host.groups.get(address) : undefined;
      if (state === undefined) return undefined;
      const isOwn = ({ author }: { author: UserId }) => (author === this.#name ? "erase" : "keep");
      return { state, page: gatherPosted(state, after, through as Seq, isOwn) };
    });
  }

  /** A page in each turn of the event loop, each durable before the next. */
  async #pass(
    address: Address,
    look: (after: Seq) => { state: UserState | GroupState; page: Page } | undefined,
  ): Promise<void> {
    const log = this.#host.log(address);
    await loadState(this.#host, address);
    for (let after = 0 as Seq; ;) {
      if (this.#ports.isStopped()) throw new AppError("unavailable", "erasing was stopped; it goes on later");
      if (log.isFlushing) {
        await flushed(this.#host, log, this.#ports.isStopped);
        continue;
      }
      const found = look(after);
      if (found === undefined) return nextTurn();
      const { state, page } = found;
      after = page.through;
      if (!page.erasure.isEmpty) await this.#erase(state, page);
      else await nextTurn();
      if (page.isLast) return;
      if (this.#ranges > RANGES_MAX) await this.#tidy();
    }
  }

  /** How many there were is counted in the same frame of the log: a crash leaves both or none. */
  async #erase(state: UserState | GroupState, { erasure }: Page): Promise<void> {
    const user = this.#host.users.get(this.#name)!;
    const { log, handle } = user;
    const entries = entriesOf(user) + erasure.entries;
    const savepoint = log.savepoint;
    const counted = writeRecord(log, () => log.putNumbers(handle, "erasedEntries", entries));
    let erased: Promise<void>;
    try {
      erased = eraseEntries(this.#host, state, erasure);
    } catch (error) {
      log.rollBack(savepoint);
      throw error;
    }
    this.#ranges += erasure.ranges.length;
    await Promise.all([erased, counted]);
  }

  async #tidy(): Promise<void> {
    await this.#ports.tidy();
    this.#ranges = 0;
  }
}

const shardHandle = (log: ShardLog): StreamHandle => new StreamHandle(SHARD_STREAM, log.head(SHARD_STREAM));

const entriesOf = ({ log, address }: UserState): number => cellNumber(log.cell(address, "erasedEntries"));

function requestOf({ log, address }: UserState): Request | undefined {
  const cell = log.cell(address, "erasure");
  return cell === undefined ? undefined : (JSON.parse(cellText(cell)) as Request);
}
