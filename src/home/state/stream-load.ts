/** How a user or a group is read from the log: cells, then the entries that the derived ones do not count yet; in steps, since both may be many. */
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
  /** Seq up to which the derived cells count. */
  derivedThrough: Seq;
  /** The first entries after it. */
  newest: StoredEntry[];
};

/** All that is read from files, in one view of them. Undefined when the stream is not there. */
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

export function* takeCells({ snapshot }: StreamLoad, take: (key: string, cell: Uint8Array) => void): Steps<void> {
  let taken = 0;
  for (const [key, cell] of snapshot.cells()) {
    take(key, cell);
    if (++taken % CELLS_PER_STEP === 0) yield;
  }
}

/** Entries after those that the derived cells count. Further ones than `newest` are as a rule in memory: of flushed ones few are not counted. */
export function* takeEntries(
  log: ShardLog,
  stream: string,
  { newest }: StreamLoad,
  take: (entry: StoredEntry) => void,
): Steps<void> {
  for (let page = newest; ;) {
    for (const entry of page) take(entry);
    const last = page[ENTRIES_PER_STEP - 1];
    if (last === undefined) return;
    yield;
    page = log.readForward(stream, last.seq, ENTRIES_PER_STEP);
  }
}
