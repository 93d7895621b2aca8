/**
 * Counts what a user stores, if it is not known yet: bytes of text that the user wrote and that are not erased.
 *
 *     number   where it is kept                           how it is counted
 *     direct   a field of the user's cell `head`          through the timeline, once, if an older version wrote it
 *     posts    cells `wrote/USER` of each group           through the group's log, once, for all its authors
 *     sum      of all groups that the user was ever in    their shards are asked after each load of the user
 *                                                         (posted-bytes.ts)
 *
 * Each number is a part of the fold of one stream, so it stays true over crashes, restarts, erasures and retention.
 * Only servers with a quota ask for it (src/home/sending/stored-quota.ts).
 *
 * Durable entries are folded in the same turn, so a count is true in the step in which it has read the last entry.
 * Between two steps posts and erasures may change known numbers; if the log had an erasure during the count, it is
 * counted again.
 *
 * The author of erased posts is told by a cast. If the cast is lost the number is too high, and if the length of a post
 * is not known it is too low, until the user is counted anew: after a load, and whenever messages are refused.
 */
import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import { answered, nextTurn, type StepTurns, type Steps } from "../../base/steps.ts";
import { isGroup, shardOf, userAddress, type GroupAddress, type UserId } from "../../domain/address.ts";
import { POSTED_LANE, readGroupEntry, readTimelineEntry } from "../../domain/entries.ts";
import type { Seq } from "../../../storage/types.ts";
import { isDamage } from "../damage.ts";
import { AuthorBytes } from "../fold/author-bytes.ts";
import { sentBytesOf } from "../fold/timeline.ts";
import type { GroupState } from "../state/group-state.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import type { PostedBytesCast } from "../messages/cast.ts";
import { PostedBytes } from "./posted-bytes.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";

const ENTRIES_PER_STEP = 200;
const AGAIN_AFTER_MS = 60_000;

/** Counts one user after the other, so that short loads of users never wait for many counts. */
export class StoredCounts {
  readonly #parts: { clock: Clock; logger: Logger; turns: StepTurns };
  readonly #waiting = new Map<UserId, Shard>();
  #running: Promise<void> | undefined;
  #isStopped = false;

  constructor(parts: { clock: Clock; logger: Logger; turns: StepTurns }) {
    this.#parts = parts;
  }

  /** Begins to count `storedBytes` of the user. After a failure it is tried again after a minute, at the earliest. */
  begin(shard: Shard, user: UserState): void {
    const now = this.#parts.clock.monotonicMs();
    if (now < user.addUpAgainAt) return;
    user.addUpAgainAt = now + AGAIN_AFTER_MS;
    this.#waiting.set(user.user, shard);
    this.#running ??= this.#run();
  }

  /** Called before the log is closed: nothing is counted or appended any more. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Resolves when no count is running. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** Not in the turn of a send. */
  async #run(): Promise<void> {
    await nextTurn();
    for (const [name, shard] of this.#waiting) {
      const user = shard.users.peek(name);
      try {
        if (user !== undefined) await this.#parts.turns.run(this.#untilStopped(addUp(shard, user)));
      } catch (error) {
        this.#parts.logger.warn("the stored bytes of a user could not be counted", { user: name, error });
      }
      this.#waiting.delete(name);
    }
    this.#running = undefined;
  }

  *#untilStopped(steps: Steps<void>): Steps<void> {
    while (!this.#isStopped) {
      const { done, value } = steps.next();
      if (done === true) return;
      yield value;
    }
  }
}

/** Sets `sentBytes` and `posted`. Posts in a group that does not answer do not count until it is asked again. */
export function* addUp(shard: Shard, user: UserState): Steps<void> {
  while (!user.isSentCounted) yield* countSent(shard, user);
  const posted = (user.posted ??= new PostedBytes());
  // Includes groups that the user joins meanwhile: their posts there are read, or told.
  for (const group of user.conversations.keys()) {
    if (!isGroup(group)) continue;
    posted.asking(group);
    posted.answered(group, yield* bytesIn(shard, group, user.user));
  }
  posted.isCounted = true;
}

function* bytesIn(shard: Shard, group: GroupAddress, author: UserId): Steps<Answers["postedBytes"]> {
  try {
    return yield* answered(shard.router.ask("postedBytes", group, { group, author }));
  } catch (error) {
    if (error instanceof AppError || isDamage(error)) return undefined;
    throw error;
  }
}

/** At the group's shard. Ends in the step in which the number is true. */
export function* answerPostedBytes(
  shard: Shard,
  { group, author }: Questions["postedBytes"],
): Steps<Answers["postedBytes"]> {
  for (;;) {
    const state = shard.groups.peek(group) ?? (yield* shard.groups.steps(group));
    if (state === undefined) return undefined;
    const { authorBytes, headSeq: through } = state;
    if (authorBytes.isCounted) return { bytes: authorBytes.of(author), through };
    yield* countPosts(shard, state);
  }
}

/** Posts were erased: tells the authors, who may know their numbers. Without counts there is nothing to tell. */
export function tellAuthors({ router }: Shard, group: GroupState, authors: Iterable<UserId>): void {
  const { address, authorBytes, headSeq: through } = group;
  if (!authorBytes.isCounted) return;
  for (const author of authors) {
    const authorShard = shardOf(userAddress(author));
    router.cast({ kind: "postedBytes", group: address, author, authorShard, bytes: authorBytes.of(author), through });
  }
}

/** At the author's shard. An author who is not loaded is counted when needed. */
export function takePostedBytes(shard: Shard, { author, group, bytes, through }: PostedBytesCast): void {
  const user = shard.users.peek(author);
  if (user?.posted?.told(group, bytes, through) === false) shard.storedCounts.begin(shard, user);
}

function* countPosts(shard: Shard, group: GroupState): Steps<void> {
  const { log, address, erasures } = group;
  const counts = new AuthorBytes(true);
  for (let through = 0 as Seq; ;) {
    if (shard.groups.peek(address) !== group || group.erasures !== erasures) return;
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

function* countSent(shard: Shard, user: UserState): Steps<void> {
  const { log, address, erasures } = user;
  let bytes = 0;
  for (let through = 0 as Seq; ;) {
    if (shard.users.peek(user.user) !== user) throw new Error(`${address} was dropped from memory`);
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
 * Notes the counts, so that the next start need not count again. If that is impossible now, the next flush may do it.
 * Impossible during a flush, since its derived cells are not in the log until it is done; and while an erasure is on
 * its way, since it was encoded without the counts.
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
