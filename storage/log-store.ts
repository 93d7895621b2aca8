/**
 * The log store of one node: 1000 shards over one write-ahead log and their segment files.
 *
 *     append → frame → write (O_DSYNC) → apply to the shard's memtable → owner told          … → flush → segments → log trimmed
 *
 * Recovery is storage/recovery.ts. When a write fails the store is finished: every waiting owner is told, nothing more is accepted, and the
 * caller closes it and opens it anew from what is on disk.
 */
import { join } from "node:path";
import type { LogFailedError } from "./errors.ts";
import { Flusher, type Checkpoint } from "./flusher.ts";
import { recoverLog, type Recovery } from "./recovery.ts";
import { openSegmentStore } from "./segment/segment-store.ts";
import type { SegmentStore } from "./segment/types.ts";
import { ShardLog } from "./shard-log.ts";
import type { ShardId } from "./types.ts";
import { realFileSystem, type FileSystem } from "./vfs/file-system.ts";
import { walFileName } from "./wal/frame.ts";
import { GroupCommit } from "./wal/group-commit.ts";
import { WalFiles } from "./wal/wal-files.ts";

const MIB = 1 << 20;

export type LogStoreOptions = {
  /** Data directory; the log goes to `wal/`, segments to `shards/`. */
  directory: string;
  files?: FileSystem;
  /** Size of one log file, bytes. Default 32 MiB. */
  walFileBytes?: number;
  /** Log kept before shards are flushed because of it, bytes. Default 512 MiB. */
  walBytesMax?: number;
  /** Memtables of all shards together before flushing starts, bytes. Default 64 MiB. */
  memtableBytesMax?: number;
  segmentBytesMax?: number;
};

export type LogStoreHooks = {
  checkpoint: Checkpoint;
  /** Just before each write to the log: the last chance to add records to it. */
  beforeWrite: () => void;
  onFlushFailure: (error: unknown) => void;
  /** A write to the log failed: told once, after every waiting owner was. */
  onFailure: (error: LogFailedError) => void;
};

export class LogStore {
  readonly #directory: string;
  readonly #files: FileSystem;
  readonly #segments: SegmentStore;
  readonly #shards = new Map<ShardId, ShardLog>();
  readonly #wal: WalFiles;
  readonly #commit: GroupCommit;
  readonly #flusher: Flusher;
  readonly #memtableBytesMax: number;
  #oldestFileNo = 1;
  #isFailureTold = false;
  #recovery: Recovery | undefined;

  static async open(options: LogStoreOptions, hooks: LogStoreHooks): Promise<LogStore> {
    const { directory, segmentBytesMax } = options;
    (options.files ?? realFileSystem).makeDirectory(join(directory, "wal"));
    const segments = await openSegmentStore({ dir: directory, ...(segmentBytesMax ? { segmentBytesMax } : {}) });
    const store = new LogStore(options, hooks, segments);
    try {
      store.#recover();
    } catch (error) {
      await segments.close();
      throw error;
    }
    return store;
  }

  private constructor(options: LogStoreOptions, hooks: LogStoreHooks, segments: SegmentStore) {
    const fileBytesMax = options.walFileBytes ?? 32 * MIB;
    this.#memtableBytesMax = options.memtableBytesMax ?? 64 * MIB;
    this.#files = options.files ?? realFileSystem;
    this.#directory = join(options.directory, "wal");
    this.#segments = segments;
    this.#wal = new WalFiles({ directory: this.#directory, files: this.#files, fileBytesMax });
    this.#flusher = new Flusher(
      {
        shardBytesMax: Math.max(this.#memtableBytesMax / 8, MIB),
        totalBytesMax: this.#memtableBytesMax,
        logFilesMax: Math.max(2, Math.ceil((options.walBytesMax ?? 512 * MIB) / fileBytesMax)),
        atOnce: 2,
      },
      {
        segments,
        checkpoint: hooks.checkpoint,
        newestFileNo: () => this.#wal.fileNo,
        oldestFileNo: () => this.#oldestFileNo,
        trimBelow: (fileNo) => this.#trimBelow(fileNo),
        onFailure: hooks.onFlushFailure,
      },
    );
    this.#commit = new GroupCommit(this.#wal, {
      beforeWrite: hooks.beforeWrite,
      afterCommit: () => {
        if (this.#wal.failed === undefined) return this.#flusher.check();
        if (this.#isFailureTold) return;
        this.#isFailureTold = true;
        hooks.onFailure(this.#wal.failed);
      },
    });
  }

  /** What recovery found when the store was opened. */
  get recovery(): Recovery {
    return this.#recovery!;
  }

  /** Set when a write failed: the store is finished. */
  get failed(): LogFailedError | undefined {
    return this.#wal.failed;
  }

  /** Bytes that wait for the log, and bytes in memory that wait for a flush, as a part of what is allowed: above 1 refuse new work. */
  get pressure(): number {
    const backlog = this.#commit.backlogBytes / (16 * MIB);
    return Math.max(backlog, this.#flusher.totalBytes / (4 * this.#memtableBytesMax));
  }

  /** The one `ShardLog` of a shard. */
  shard(id: ShardId): ShardLog {
    let log = this.#shards.get(id);
    if (log === undefined) {
      log = new ShardLog(id, this.#segments.extent(id), this.#commit, this.#segments, (changed, bytes) => this.#flusher.applied(changed, bytes));
      this.#shards.set(id, log);
    }
    return log;
  }

  /** Shards that were used since the start, those with records in the log among them. */
  opened(): ShardLog[] {
    return [...this.#shards.values()];
  }

  /** Asks for `beforeWrite` soon, although no record was appended yet. */
  schedule(): void {
    this.#commit.schedule();
  }

  /** Resolves when every appended record is durable or failed. */
  idle(): Promise<void> {
    return this.#commit.idle();
  }

  /** Flushes all that it can until `stopped` says so; what is left stays in the log. */
  async flushAll(stopped: () => boolean): Promise<void> {
    await this.idle();
    await this.#flusher.flushAll(stopped);
  }

  /** Waits for what is being written, flushes nothing more, closes every file. */
  async close(): Promise<void> {
    await this.idle();
    await this.#flusher.close();
    await this.#segments.close();
    this.#wal.close();
  }

  #recover(): void {
    const found = recoverLog({ directory: this.#directory, files: this.#files, shard: (id) => this.shard(id), recovered: (log, bytes) => this.#flusher.recovered(log, bytes) });
    this.#recovery = found;
    this.#oldestFileNo = found.oldestFileNo;
    this.#wal.open(found.newestFileNo + 1);
  }

  #trimBelow(fileNo: number): void {
    for (; this.#oldestFileNo < fileNo; this.#oldestFileNo++) this.#files.remove(join(this.#directory, walFileName(this.#oldestFileNo)));
  }
}
