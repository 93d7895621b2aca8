/**
 * Retention of one stream: messages from before a moment become tombstones, oldest first.
 *
 * Entries of a stream rise in time, so the messages that are too old stand before the first one that is not. They are
 * read in order from where the last pass ended (the cell `kept`). A binary search would not help, since every erased
 * entry has to be read: refs are kept, memberships stay. If the server's clock once went back, messages behind a
 * younger one wait for that one.
 */
import { nextTurn } from "../../base/steps.ts";
import { isGroup, type Address } from "../../domain/address.ts";
import { readGroupEntry, readTimelineEntry, POSTED_LANE } from "../../domain/entries.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import type { Seq, StoredEntry } from "../../../storage/types.ts";
import { CellReader, cellNumber } from "../state/cells.ts";
import { writeRecord } from "../durable.ts";
import {
  ERASE_PAGE,
  eraseEntries,
  gatherDirect,
  gatherPosted,
  unlessErasable,
  type Page,
  type Verdict,
} from "./erasure.ts";
import { GroupState } from "../state/group-state.ts";
import { loadState } from "../state/load-state.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";

const DAY_MS = 86_400_000;
const LOOK = 8;

/**
 * Messages from before the cutoff are too old. It is the beginning of a day (UTC), so that a shard erases once a day
 * and not once a message.
 */
export const cutoffOf = (nowMs: number, days: number): number => (Math.floor(nowMs / DAY_MS) - days) * DAY_MS;

/** The time from which a message of `sentAt` is too old. */
export const expiresAt = (sentAt: number, days: number): number => (Math.floor(sentAt / DAY_MS) + 1 + days) * DAY_MS;

export type Retained = {
  /** How many messages were erased. */
  entries: number;
  /** Time of the oldest message that is left; undefined if there is none. */
  oldestAt: number | undefined;
};

/**
 * Erases messages of a stream from before `cutoff`, Unix ms: a page in each turn of the event loop, each durable before
 * the next. Can be called again after an error.
 * @throws AppError unavailable if the log fails, or if it was stopped while it waited for a flush
 */
export async function eraseBefore(
  shard: Shard,
  address: Address,
  cutoff: number,
  isStopped: () => boolean,
): Promise<Retained> {
  const cell = new CellReader(shard.logFor(address).cell(address, "kept"));
  const noted = cell.number() as Seq;
  const oldestAt = cell.number() || oldestAfter(shard, address, noted);
  if (oldestAt !== undefined && oldestAt >= cutoff) return { entries: 0, oldestAt };
  const retained: Retained = { entries: 0, oldestAt: undefined };
  let written = noted;
  await loadState(shard, address);
  for (let through = noted; ;) {
    // The stream has entries, so its state exists.
    const state = shard.stateOf(address)!;
    const waiting = unlessErasable(shard, state, isStopped);
    if (waiting !== undefined) {
      await waiting;
      continue;
    }
    const page = judged(state, through, cutoff, retained);
    through = page.through;
    if (!page.erasure.isEmpty) {
      await erasePage(shard, state, page, retained);
      written = through;
    } else await nextTurn();
    if (page.isLast || isStopped()) {
      if (through - written >= ERASE_PAGE) await note(shard, address, through, retained);
      return retained;
    }
  }
}

/**
 * Time of the first message behind `after`, if it is near. So a stream with nothing to erase, as most are, need not be
 * loaded.
 */
function oldestAfter(shard: Shard, address: Address, after: Seq): number | undefined {
  const log = shard.logFor(address);
  const found = isGroup(address)
    ? log.readLaneForward(address, POSTED_LANE, after, LOOK)
    : log.readForward(address, after, LOOK);
  for (const entry of found) {
    const at = isGroup(address) ? postedAt(entry) : directAt(entry);
    if (at !== undefined) return at;
  }
  return undefined;
}

/** Before this seq there are only tombstones, memberships and changes of groups. */
export const retainedFrom = (log: ShardLog, address: Address): Seq => cellNumber(log.cell(address, "kept")) as Seq;

function directAt(stored: StoredEntry): number | undefined {
  const entry = readTimelineEntry(stored);
  return entry.kind === "sent" || entry.kind === "taken" ? entry.sentAt : undefined;
}

function postedAt(stored: StoredEntry): number | undefined {
  const entry = readGroupEntry(stored);
  return entry.kind === "posted" ? entry.sentAt : undefined;
}

function judged(state: UserState | GroupState, after: Seq, cutoff: number, retained: Retained): Page {
  const judge = ({ sentAt }: { sentAt: number }): Verdict => {
    if (sentAt < cutoff) return "erase";
    retained.oldestAt = sentAt;
    return "end";
  };
  return state instanceof GroupState
    ? gatherPosted(state, after, state.headSeq, judge)
    : gatherDirect(state, undefined, after, state.headSeq, judge);
}

async function erasePage(shard: Shard, state: UserState | GroupState, page: Page, retained: Retained): Promise<void> {
  const { log, handle } = state;
  await eraseEntries(shard, state, page.erasure, () =>
    log.putNumbers(handle, "kept", page.through, retained.oldestAt ?? 0),
  );
  retained.entries += page.erasure.entries;
}

/** Notes how far was read, so that the next pass does not read it again. */
function note(shard: Shard, address: Address, through: Seq, { oldestAt }: Retained): Promise<void> {
  const handle = new StreamHandle(address, shard.logFor(address).head(address));
  return writeRecord(shard.logFor(address), (log) => log.putNumbers(handle, "kept", through, oldestAt ?? 0));
}
