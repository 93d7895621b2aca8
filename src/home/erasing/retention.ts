/**
 * Retention of one stream: messages from before a moment become tombstones, oldest first.
 *
 * Entries of a stream rise in time, so what is too old is what stands before the first that is not. It is read in order from where the last pass ended (the cell
 * `kept`) and not searched by halving, since what goes has to be looked at anyway: refs of it are kept, memberships in it stay. Where the clock of the server
 * once went back, messages behind a younger one wait for that one.
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

/** Messages from before it are too old. The beginning of a day (UTC): so a shard has something to do once a day, and not once a message. */
export const cutoffOf = (nowMs: number, days: number): number => (Math.floor(nowMs / DAY_MS) - days) * DAY_MS;

/** From when on a message of that time is too old. */
export const expiresAt = (sentAt: number, days: number): number => (Math.floor(sentAt / DAY_MS) + 1 + days) * DAY_MS;

export type Retained = {
  /** How many messages were erased. */
  entries: number;
  /** Time of the oldest message that is left; undefined when there is none. */
  oldestAt: number | undefined;
};

/**
 * Erases messages of a stream from before `cutoff`, Unix ms, a page in each turn of the event loop, each durable before the next.
 * @throws AppError unavailable when the log fails, or when it was stopped while it waited for a flush; it can be called again
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
    // Its stream has entries, so it is there.
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

/** Time of the first message behind `after`, if it is near: most streams have nothing to erase, and need not be loaded to be told so. */
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

/** Nothing that says something stands before it but changes of groups and memberships. */
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

/** What was only passed over need not be passed over again. */
function note(shard: Shard, address: Address, through: Seq, { oldestAt }: Retained): Promise<void> {
  const handle = new StreamHandle(address, shard.logFor(address).head(address));
  return writeRecord(shard.logFor(address), (log) => log.putNumbers(handle, "kept", through, oldestAt ?? 0));
}
