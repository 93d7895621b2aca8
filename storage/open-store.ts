/** Builds a store: the one place that says which log it has, and which segments. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { LocalLog } from "./log/local/local-log.ts";
import { LogStore } from "./log-store.ts";
import { finishPlacing } from "./files/placed-shards.ts";
import { openSegmentStore } from "./files/sqlite-segments.ts";
import type { SegmentStore } from "./files/segment-store.ts";
import type { LogStoreHooks, LogStoreOptions } from "./store-options.ts";
import { type FileSystem, realFileSystem } from "./vfs/file-system.ts";

const MIB = 1 << 20;
const FULL_FRAME_BYTES = 16 << 10;

/**
 * Opens a data directory, with its own write-ahead log unless the options name another.
 * @throws CorruptionError, FormatError, DirectoryLostError, OtherWriterError; what the system says. Nothing is open
 * then.
 */
export async function openLogStore(options: LogStoreOptions, hooks: LogStoreHooks): Promise<LogStore> {
  const { directory, held, files = realFileSystem } = options;
  files.makeDirectory(join(directory, "wal"));
  held?.keep("wal");
  if (options.segments === undefined) finishPlacing(directory);
  const segments = options.segments ?? segmentsOf(options);
  try {
    const store = await LogStore.open(
      {
        directory,
        files,
        segments,
        makeLog: options.makeLog ?? ((logHooks) => new LocalLog(localLogOptions(options, files), logHooks)),
        damage: options.damage ?? "refuse",
        memtableBytesMax: options.memtableBytesMax ?? 128 * MIB,
        flushWaitMs: options.flushWaitMs,
      },
      hooks,
    );
    if (held !== undefined && existsSync(join(directory, "shards"))) held.keep("shards");
    return store;
  } catch (error) {
    await segments.close();
    throw error;
  }
}

function localLogOptions(options: LogStoreOptions, files: FileSystem): ConstructorParameters<typeof LocalLog>[0] {
  return {
    root: options.directory,
    held: options.held,
    files,
    fileBytesMax: options.walFileBytes ?? 32 * MIB,
    keptBytesMax: options.walBytesMax ?? 512 * MIB,
    markAfterMs: options.markAfterMs ?? 1000,
    fullFrameBytes: options.fullFrameBytes ?? FULL_FRAME_BYTES,
  };
}

function segmentsOf({ directory, held, segmentBytesMax, readHandlesMax, writersMax }: LogStoreOptions): SegmentStore {
  return openSegmentStore({
    dir: directory,
    held,
    ...(segmentBytesMax === undefined ? {} : { segmentBytesMax }),
    ...(readHandlesMax === undefined ? {} : { readHandlesMax }),
    ...(writersMax === undefined ? {} : { writersMax }),
  });
}
