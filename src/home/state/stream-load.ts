/**
 * Reads a user or a group from the log: cells, then the entries that the derived cells do not count yet. In steps,
 * since both may be many.
 */
import type { Steps } from "../../base/steps.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import type { Seq, StoredEntry, StreamSnapshot } from "../../../storage/types.ts";
import { CellReader } from "./cells.ts";

const CELLS_PER_STEP = 500;
const ENTRIES_PER_STEP = 200;

export type StreamLoad = {
  snapshot: StreamSnapshot;
  /** The fields of the cell `head` behind its first. */
  head: CellReader;
  /** Seq through which the derived cells count. */
  derivedThrough: Seq;
  /** The first entries after it. */
  newest: StoredEntry[];
};

/** Everything that is read from files, in one view of them. Undefined if there is no such stream. */
export function beginLoad(log: ShardLog, stream: string): StreamLoad | undefined {
  return log.within(() => {
    const snapshot = log.snapshot(stream);
    if (snapshot === undefined) return undefined;
    const head = new CellReader(snapshot.cell("head"));
    const derivedThrough = head.number() as Seq;
    const newest =
      snapshot.head.headSeq > derivedThrough ? log.readForward(stream, derivedThrough, ENTRIES_PER_STEP) : [];
    return { snapshot, head, derivedThrough, newest };
  });
}

export function* readCells({ snapshot }: StreamLoad, read: (key: string, cell: Uint8Array) => void): Steps<void> {
  let count = 0;
  for (const [key, cell] of snapshot.cells()) {
    read(key, cell);
    if (++count % CELLS_PER_STEP === 0) yield;
  }
}

/**
 * Entries after those that the derived cells count. Entries beyond `newest` are usually in memory, since few flushed
 * entries are not counted.
 */
export function* readEntries(
  log: ShardLog,
  stream: string,
  { newest }: StreamLoad,
  read: (entry: StoredEntry) => void,
): Steps<void> {
  for (let page = newest; ;) {
    for (const entry of page) read(entry);
    const last = page[ENTRIES_PER_STEP - 1];
    if (last === undefined) return;
    yield;
    page = log.readForward(stream, last.seq, ENTRIES_PER_STEP);
  }
}
