/** Log stores for the parts: with the real disk, without syncs, with a log that is never trimmed, without segments. */
import * as fs from "node:fs";
import type { LogStore } from "../../storage/log-store.ts";
import { openLogStore } from "../../storage/open-store.ts";
import type { LogStoreHooks, LogStoreOptions } from "../../storage/store-options.ts";
import { openSegmentStore, type SegmentStoreOptions } from "../../storage/files/sqlite-segments.ts";
import type { SegmentStore } from "../../storage/files/segment-store.ts";
import type { Offset, ShardId, StreamHead, Term } from "../../storage/types.ts";
import { fileSystemOf, type FileSystem, type SystemCalls } from "../../storage/vfs/file-system.ts";
import { workerWithDriver } from "./driver.ts";

export const MIB = 1 << 20;
/** A limit so high that nothing is flushed, trimmed or refused. */
export const UNBOUNDED = 2 ** 40;

const noCheckpoint = new Uint8Array(0);

const NOTHING = 0 as Offset;

export function openLog(options: LogStoreOptions, hooks: Partial<LogStoreHooks> = {}): Promise<LogStore> {
  const fail = (error: unknown): never => {
    throw new Error("the log store failed under the bench", { cause: error });
  };
  return openLogStore(options, {
    checkpoint: () => noCheckpoint,
    beforeWrite: () => {},
    onFlushFailure: fail,
    onListenerError: fail,
    onFailure: fail,
    ...hooks,
  });
}

/** Uses the SQLite driver of this process, in its worker, too. */
export function openSegments(options: SegmentStoreOptions): SegmentStore {
  return openSegmentStore({ ...options, ...workerWithDriver() });
}

/** Files without syncs: shows the cost of the code alone. */
export function unsyncedFiles(): FileSystem {
  const { O_DSYNC } = fs.constants;
  const calls = {
    ...fs,
    openSync: (path: fs.PathLike, flags: fs.OpenMode, mode?: fs.Mode | null) =>
      fs.openSync(path, typeof flags === "number" ? flags & ~O_DSYNC : flags, mode),
    fsyncSync: () => {},
    fdatasyncSync: () => {},
    fsync: (_file: number, done: (error: null) => void) => void setImmediate(done, null),
  };
  return fileSystemOf(calls as unknown as SystemCalls);
}

/** How far the flushes of some streams reach, without their content. */
export type Reach = { reaches: [shard: ShardId, through: Offset][]; heads: [stream: string, head: StreamHead][] };

/**
 * Keeps only how far flushes reach, and drops their content. Streams of different shards must not have the same name.
 */
export function forgetfulSegments(reach: Reach = { reaches: [], heads: [] }): SegmentStore {
  const reaches = new Map(reach.reaches);
  const heads = new Map(reach.heads);
  return {
    mustBeUnused: () => {},
    begin: () => {},
    within: (_shard, ask) => ask(),
    snapshot: (_shard, stream) => {
      const head = heads.get(stream);
      return head && { head, cell: () => undefined, cells: () => [] };
    },
    reach: (shard) => ({ flushedThrough: reaches.get(shard) ?? NOTHING, term: 1 as Term, streamCount: heads.size }),
    head: (_shard, stream) => heads.get(stream),
    streamName: () => undefined,
    streamNames: () => [],
    cell: () => undefined,
    cells: () => new Map<string, Uint8Array>(),
    readForward: () => [],
    readLaneForward: () => [],
    readLaneBackward: () => [],
    findKey: () => undefined,
    highestCounter: () => -1,
    streamsSince: () => [],
    flush: (job) => {
      reaches.set(job.shard, job.throughOffset);
      for (const { name, streamNo, headSeq } of job.streams) heads.set(name, { streamNo, headSeq });
      return Promise.resolve();
    },
    erase: () => Promise.resolve(),
    pendingErasures: () => [],
    compact: () => Promise.resolve({ filesBefore: 0, filesAfter: 0, bytesBefore: 0, bytesAfter: 0 }),
    spill: () => Promise.resolve(),
    letGo: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}
