/** What a store is opened with, and which hooks it calls. */
import type { DamagePolicy } from "./shard/damage-control.ts";
import type { Damage } from "./shard/damaged-shards.ts";
import type { LogFailure } from "./errors.ts";
import type { CommitLog, LogHooks } from "./log/commit-log.ts";
import type { Checkpoint } from "./shard/flusher.ts";
import type { SegmentStore } from "./files/segment-store.ts";
import type { ShardId } from "./types.ts";
import type { FileSystem } from "./vfs/file-system.ts";
import type { HeldDirectory } from "./vfs/held-directory.ts";

export type LogStoreOptions = {
  /** Data directory; the log goes to `wal/`, segments to `shards/`. */
  directory: string;
  /**
   * The same, held by the caller; `directory` is its `at`. Nothing is made in it, or renamed, when it is not where it
   * was.
   */
  held?: HeldDirectory | undefined;
  files?: FileSystem;
  /** Size of one log file, bytes. Default 32 MiB. */
  walFileBytes?: number;
  /** Log kept before shards are flushed because of it, bytes. Default 512 MiB. */
  walBytesMax?: number;
  /** Memtables of all shards together before flushing starts, bytes. Default 128 MiB. */
  memtableBytesMax?: number;
  segmentBytesMax?: number;
  /** As in `SegmentStoreOptions`: files open for reading, shards open for writing. */
  readHandlesMax?: number;
  writersMax?: number;
  /** A log that rests this long gets a mark, milliseconds; 0: only when it is closed. Default 1000. */
  markAfterMs?: number;
  /** Records of so many bytes are written to the log as soon as the write before has returned. Default 16 KiB. */
  fullFrameBytes?: number;
  /** How long closing, or opening anew, waits for flushes that are under way, milliseconds. Default 60,000. */
  flushWaitMs?: number;
  /** In place of SQLite and its worker, for tests of the log alone. */
  segments?: SegmentStore;
  /** In place of the write-ahead log of this machine. */
  makeLog?: (hooks: LogHooks) => CommitLog;
  /** What damage of a shard does. Default "refuse". */
  damage?: DamagePolicy;
};

export type LogStoreHooks = {
  /** A hook or a notified owner threw: a programmer's error, or damage that it met. All other owners were notified. */
  onListenerError: (error: unknown) => void;
  checkpoint: Checkpoint;
  /** Just before each write to the log: the last chance to add records to it. */
  beforeWrite: () => void;
  onFlushFailure: (error: unknown) => void;
  /**
   * The log of these shards takes nothing more. Told once for each shard, after every waiting owner was. When they are
   * all shards: LogFailedError, see `reopen`. When a shard has failed alone: see `reopenShard`.
   */
  onFailure: (error: LogFailure, shards: readonly ShardId[]) => void;
  /** These shards were found damaged, and are closed. At the opening it is called once, for all that are. */
  onDamage?: (damages: readonly Damage[]) => void;
};
