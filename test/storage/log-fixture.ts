/** A store over a simulated disk and segments in memory, small enough that files rotate and are trimmed. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LogStore } from "../../storage/log-store.ts";
import { openLogStore } from "../../storage/open-store.ts";
import type { LogStoreHooks, LogStoreOptions } from "../../storage/store-options.ts";
import { fileHeader, walFileName } from "../../storage/log/local/frame.ts";
import type { RecordOfShard } from "./log-history.ts";
import { MemorySegments } from "./files/memory-segments.ts";
import type { SimulatedDisk } from "./vfs/simulated-disk.ts";

export const WAL_DIRECTORY = "/data/wal";

export const QUIET: LogStoreHooks = {
  checkpoint: () => new Uint8Array(0),
  beforeWrite: () => {},
  onFlushFailure: () => {},
  onListenerError: (error) => {
    throw error;
  },
  onFailure: () => {},
};

export function openStore(
  disk: SimulatedDisk,
  options: Partial<LogStoreOptions> = {},
  hooks: Partial<LogStoreHooks> = {},
): Promise<LogStore> {
  const limits = { walFileBytes: 4000, walBytesMax: 1 << 20, memtableBytesMax: 1 << 20, markAfterMs: 0 };
  const segments = options.segments ?? new MemorySegments();
  return openLogStore(
    { directory: "/data", files: disk.files, ...limits, ...options, segments },
    { ...QUIET, ...hooks },
  );
}

/** The log of a directory in which only segments are written: begun, and empty. */
export function beginLog(directory: string): void {
  mkdirSync(join(directory, "wal"));
  writeFileSync(join(directory, "wal", walFileName(1)), fileHeader(1, 0));
}

/** One record with one entry. */
export function entry(payload: string, shard = 7, stream = "@alice"): RecordOfShard {
  return { shard, ops: [{ kind: "entry", stream, lane: "", key: "", payload }] };
}
