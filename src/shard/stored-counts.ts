/**
 * What a user stores, counted where it is not known yet: bytes of text that the user wrote and that are not erased.
 *
 *     direct   a field of the user's cell `head`             of a directory of before: counted through the timeline, once
 *     posts    cells `wrote/USER` of each group              counted through the group's log, once, for all its authors
 *     sum      of all groups that the user was ever in       in memory, each time the user is loaded
 *
 * Each number is a part of the fold of one stream, so a crash, a restart, an erasure and retention leave it true. Only
 * servers with a quota ask for it (src/service/stored-quota.ts).
 *
 * What is durable has been folded in the same turn, so a count is true in the step in which it has read the last entry.
 * Between two steps anything may happen. Posts and erasures change numbers that are known already; a log in which
 * something was erased while it was counted is counted again.
 */
import { stepsUnlessDamaged } from "./damage.ts";
import { nextTurn, type Steps } from "../base/steps.ts";
import { isGroup, type GroupAddress, type UserId } from "../domain/address.ts";
import { POSTED_LANE, readGroupEntry, readTimelineEntry } from "../domain/entries.ts";
import type { Seq } from "../../storage/types.ts";
import { AuthorBytes } from "./fold/author-bytes.ts";
import { sentBytesOf } from "./fold/timeline.ts";
import type { GroupState } from "./group-state.ts";
import type { Shards } from "./shards.ts";
import type { UserState } from "./user-state.ts";

const ENTRIES_PER_STEP = 200;
const AGAIN_AFTER_MS = 60_000;

/** Adds up one user after the other, so that loads of users, which are short, never wait for many of them. */
export class StoredCounts {
  readonly #host: Shards;
  readonly #waiting = new Set<UserId>();
  #running: Promise<void> | undefined;
  #isStopped = false;

  constructor(host: Shards) {
    this.#host = host;
  }

  /** Begins to find out `storedBytes` of the user. What cannot be found out is tried again after a minute, at the earliest. */
  begin(user: UserState): void {
    const now = this.#host.clock.monotonicMs();
    if (now < user.addUpAgainAt) return;
    user.addUpAgainAt = now + AGAIN_AFTER_MS;
    this.#waiting.add(user.user);
    this.#running ??= this.#run();
  }

  /** Before the log is closed: nothing is counted, nor appended, any more. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Nothing is being added up. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** Not in the turn of a send. */
  async #run(): Promise<void> {
    await nextTurn();
    for (const name of this.#waiting) {
      const user = this.#host.users.peek(name);
      try {
        if (user !== undefined) await this.#host.turns.run(this.#untilStopped(addUp(this.#host, user)));
      } catch (error) {
        this.#host.logger.warn("what a user stores could not be counted", { user: name, error });
      }
      if (user !== undefined) user.addingUp = undefined;
      this.#waiting.delete(name);
    }
    this.#running = undefined;
  }

  *#untilStopped(steps: Steps<void>): Steps<void> {
    while (!this.#isStopped && steps.next().done !== true) yield;
  }
}

/** Sets `sentBytes` and `postedBytes`. Posts in a group whose data is damaged do not count until the user is loaded again. */
export function* addUp(host: Shards, user: UserState): Steps<void> {
  while (!user.isSentCounted) yield* countSent(host, user);
  const added = (user.addingUp = new Map<GroupAddress, number>());
  // Also groups that the user joins meanwhile: their posts there are read, or told to `postChanged`.
  for (const address of user.conversations.keys()) {
    if (!isGroup(address)) continue;
    const bytes = yield* stepsUnlessDamaged(bytesIn(host, address, user.user));
    added.set(address, bytes ?? 0);
  }
  user.postedBytes = 0;
  for (const bytes of added.values()) user.postedBytes += bytes;
  user.isPostedCounted = true;
}

/** Ends in the step in which the number is true. */
function* bytesIn(host: Shards, address: GroupAddress, author: UserId): Steps<number> {
  for (;;) {
    const group = yield* host.groups.steps(address);
    if (group === undefined) return 0;
    if (group.authorBytes.isCounted) return group.authorBytes.of(author);
    yield* countPosts(host, group);
  }
}

function* countPosts(host: Shards, group: GroupState): Steps<void> {
  const { log, address, erasures } = group;
  const counts = new AuthorBytes(true);
  for (let through = 0 as Seq; ;) {
    if (host.groups.peek(address) !== group || group.erasures !== erasures) return;
    const page = log.readLaneForward(address, POSTED_LANE, through, ENTRIES_PER_STEP);
    for (const stored of page) {
      const entry = readGroupEntry(stored);
      if (entry.kind === "posted") counts.posted(stored.seq, entry.author, Buffer.byteLength(entry.text));
    }
    const last = page[ENTRIES_PER_STEP - 1];
    if (last === undefined) {
      group.authorBytes.set(counts);
      return writeCells(group);
    }
    through = last.seq;
    yield;
  }
}

function* countSent(host: Shards, user: UserState): Steps<void> {
  const { log, address, erasures } = user;
  let bytes = 0;
  for (let through = 0 as Seq; ;) {
    if (host.users.peek(user.user) !== user) throw new Error(`${address} was dropped from memory`);
    if (user.erasures !== erasures) return;
    const page = log.readForward(address, through, ENTRIES_PER_STEP);
    for (const stored of page) bytes += sentBytesOf(readTimelineEntry(stored));
    const last = page[ENTRIES_PER_STEP - 1];
    if (last === undefined) {
      user.sentBytes = bytes;
      user.isSentCounted = true;
      return writeCells(user);
    }
    through = last.seq;
    yield;
  }
}

/**
 * Notes what was counted, so that the next start need not count again. Where it cannot be noted now, the next flush
 * may do it. Derived cells that go with a flush are not in the log until it is done, and an erasure that is on its way
 * has been encoded without the count.
 */
function writeCells(state: UserState | GroupState): void {
  const { log, handle } = state;
  if (log.isFlushing || state.pendingMarks > 0) return;
  let writeAgain = (): void => {};
  log.append({
    encode() {
      for (const [key, value] of state.derivedCells()) log.putCell(handle, key, value);
      writeAgain = state.writesAgain();
    },
    committed: () => writeAgain(),
    failed: () => {},
  });
}
