/**
 * The log store of one node: 1000 shards over one write-ahead log and their segment files.
 *
 *     append → frame → write (O_DSYNC) → apply to the shard's memtable → owner told          … → flush → segments → log trimmed
 *
 * Recovery is storage/recovery.ts. When a write fails the store is read only from then on: every waiting owner is told, nothing more is accepted, what
 * was committed can still be read; the caller closes it and opens it anew from what is on disk. A store whose log cannot get a file because the disk
 * is full opens read only, too. `hasRoom` tells when another try is worth it.
 */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DamageControl, type LogFileRange } from "./damage-control.ts";
import { DamagedShards, type Damage } from "./damaged-shards.ts";
import type { LogFailedError } from "./errors.ts";
import { Flusher } from "./flusher.ts";
import { Ownership } from "./log/local/ownership.ts";
import { recoverLog, type Recovery } from "./recovery.ts";
import { FlushError, KEPT_FOR_DAMAGED } from "./segment/errors.ts";
import { openSegmentStore } from "./segment/segment-store.ts";
import type { CompactOptions, CompactReport, SegmentStore } from "./segment/types.ts";
import { ShardLog } from "./shard-log.ts";
import { shortageOf, type Shortage } from "./shortage.ts";
import type { LogStoreHooks, LogStoreOptions, StoreOptions } from "./store-options.ts";
import { atOnce, overTurns, type Steps } from "./steps.ts";
import type { ShardId } from "./types.ts";
import { realFileSystem, type FileSystem } from "./vfs/file-system.ts";
import { guardedFiles } from "./vfs/guarded-files.ts";
import { FILE_HEAD_BYTES, walFileName, walFileNo } from "./log/local/frame.ts";
import { GroupCommit } from "./log/local/group-commit.ts";
import { hasRoom, PREPARED_NAME, WalFiles, type WalPlace } from "./log/local/wal-files.ts";

const MIB = 1 << 20;
const BACKLOG_BYTES_MAX = 16 * MIB;
const FULL_FRAME_BYTES = 16 << 10;
/** Flushed at once: as many shards as one sync serves well, and no more than keeps the worker busy for some tens of milliseconds. */
const FLUSHED_SHARDS = 32;
const FLUSHED_BYTES = 2 * MIB;
/** A shard's memtable goes to the flush worker in one buffer, which cannot have more than 4 GiB. */
const SHARD_BYTES_MAX = 256 * MIB;
/** Zeros that must fit before a failed store is opened again. */
const PROBE_BYTES = MIB;
const OPENING_ID_BYTES = 8;

export class LogStore {
  readonly #options: StoreOptions;
  readonly #directory: string;
  readonly #files: FileSystem;
  readonly #segments: SegmentStore;
  readonly #shards = new Map<ShardId, ShardLog>();
  readonly #wal: WalFiles;
  readonly #commit: GroupCommit;
  readonly #flusher: Flusher;
  readonly #memtableBytesMax: number;
  readonly #walFileBytes: number;
  readonly #onFlushFailure: (error: unknown) => void;
  readonly #onFailure: LogStoreHooks["onFailure"];
  readonly #damaged: DamagedShards;
  readonly #damage: DamageControl;
  readonly #ownership: Ownership;
  #oldestFileNo = 1;
  #isFailureTold = false;
  #recovery: Recovery | undefined;

  static async open(options: LogStoreOptions, hooks: LogStoreHooks): Promise<LogStore> {
    const { directory, held, segmentBytesMax, readHandlesMax, writersMax } = options;
    (options.files ?? realFileSystem).makeDirectory(join(directory, "wal"));
    held?.keep("wal");
    const segments =
      options.segments ??
      openSegmentStore({
        dir: directory,
        held,
        ...(segmentBytesMax === undefined ? {} : { segmentBytesMax }),
        ...(readHandlesMax === undefined ? {} : { readHandlesMax }),
        ...(writersMax === undefined ? {} : { writersMax }),
      });
    const openingId = randomBytes(OPENING_ID_BYTES).toString("hex");
    const store = new LogStore({ ...options, openingId }, hooks, segments);
    try {
      store.#damaged.load();
      atOnce(store.#recover());
      if (held !== undefined && existsSync(join(directory, "shards"))) held.keep("shards");
    } catch (error) {
      await store.#giveUp();
      await segments.close();
      throw error;
    }
    return store;
  }

  /**
   * The store that follows this one, which has failed: recovered from what is on disk, over the same segments. This one can be read until then, and also
   * afterwards when it throws; the successor closes what they share.
   */
  async reopen(hooks: LogStoreHooks): Promise<LogStore> {
    await this.#stop();
    // What was found damaged since the opening must not keep the rest closed.
    const damage = this.#damage.closes ? "close" : "refuse";
    const store = new LogStore({ ...this.#options, damage }, hooks, this.#segments, this.#damaged);
    // Whoever reads this one goes on meanwhile.
    try {
      await overTurns(store.#recover(this.#wal.unacked));
    } catch (error) {
      await store.#giveUp();
      throw error;
    }
    return store;
  }

  private constructor(options: StoreOptions, hooks: LogStoreHooks, segments: SegmentStore, damaged?: DamagedShards) {
    this.#options = options;
    const fileBytesMax = options.walFileBytes ?? 32 * MIB;
    this.#memtableBytesMax = options.memtableBytesMax ?? 128 * MIB;
    const files = options.files ?? realFileSystem;
    const { held, openingId } = options;
    this.#directory = join(options.directory, "wal");
    this.#ownership = new Ownership({ directory: this.#directory, files, held, openingId });
    const mustOwn = (): void => this.#ownership.check();
    this.#files = guardedFiles(files, mustOwn);
    this.#damaged = damaged ?? new DamagedShards(options.directory, this.#files);
    // Files that the one before wrote may go now, and with them what it knows its directory by.
    damaged?.handTo(this.#files);
    this.#damage = new DamageControl({
      policy: options.damage ?? "refuse",
      damaged: this.#damaged,
      mustOwn,
      logFilesOf: (shard) => this.#logFilesOf(this.#shards.get(shard)),
      onClose: (shard) => this.#closeShard(shard),
      onDamage: hooks.onDamage ?? ((): void => {}),
      onUnsaved: hooks.onFlushFailure,
    });
    this.#segments = segments;
    this.#walFileBytes = fileBytesMax;
    this.#onFlushFailure = hooks.onFlushFailure;
    this.#onFailure = hooks.onFailure;
    // Marks that waited for room are written now.
    this.#wal = new WalFiles({
      directory: this.#directory,
      files: this.#files,
      fileBytesMax,
      onBegin: (fileNo) => this.#ownership.noteWritten(fileNo),
      onRoom: () => this.#commit.schedule(),
    });
    this.#flusher = new Flusher(
      {
        shardBytesMax: Math.min(Math.max(this.#memtableBytesMax / 8, MIB), SHARD_BYTES_MAX),
        totalBytesMax: this.#memtableBytesMax,
        logFilesMax: Math.max(2, Math.ceil((options.walBytesMax ?? 512 * MIB) / fileBytesMax)),
        shardsAtOnce: FLUSHED_SHARDS,
        bytesAtOnce: FLUSHED_BYTES,
      },
      {
        segments,
        mustOwn,
        checkpoint: hooks.checkpoint,
        newestFileNo: () => this.#wal.fileNo,
        oldestFileNo: () => this.#oldestFileNo,
        trimBelow: (fileNo) => this.#trimBelow(fileNo),
        onFailure: hooks.onFlushFailure,
        onDamage: ({ shard }, error) => this.#damage.closeIfDamaged(shard, error),
      },
    );
    const commitHooks = {
      // Those records can wait in memory, the rest of the room is for what cannot.
      beforeWrite: () => {
        if (!this.#wal.isExhausted && this.#wal.failed === undefined) hooks.beforeWrite();
      },
      afterCommit: () => {
        if (this.#wal.failed === undefined) this.#flusher.check();
        else this.#tellFailure();
      },
      onListenerError: hooks.onListenerError,
    };
    this.#commit = new GroupCommit(this.#wal, commitHooks, {
      markAfterMs: options.markAfterMs ?? 1000,
      fullFrameBytes: options.fullFrameBytes ?? FULL_FRAME_BYTES,
    });
  }

  /** What recovery found when the store was opened. */
  get recovery(): Recovery {
    return this.#recovery!;
  }

  /** Set when a write failed, or no log file could be begun: the store is read only. */
  get failed(): LogFailedError | undefined {
    return this.#wal.failed;
  }

  /**
   * Above 1 refuse new work. It is the larger of: bytes that wait for the log, as a part of 16 MiB; bytes in memory that wait for a flush, as a part
   * of four times `memtableBytesMax`. Infinite when there is no room for further log files, or the store is read only.
   */
  get pressure(): number {
    if (this.#wal.failed !== undefined || this.#wal.isShort) return Number.POSITIVE_INFINITY;
    const backlog = this.#commit.backlogBytes / BACKLOG_BYTES_MAX;
    return Math.max(backlog, this.#flusher.totalBytes / (4 * this.#memtableBytesMax));
  }

  /** Why `pressure` is above 1; undefined while it is not. */
  get shortage(): Shortage | undefined {
    if (this.#wal.failed !== undefined) return shortageOf(this.#wal.failed) ?? "log failed";
    if (this.#wal.isShort) return shortageOf(this.#wal.notPrepared) ?? "log stuck";
    if (this.#commit.backlogBytes > BACKLOG_BYTES_MAX) return "log behind";
    return this.pressure > 1 ? (shortageOf(this.#flusher.failure) ?? "memory full") : undefined;
  }

  /** The error behind `shortage`, where there is one. */
  get shortageCause(): unknown {
    return this.#wal.failed ?? (this.#wal.isShort ? this.#wal.notPrepared : this.#flusher.failure);
  }

  /** The one `ShardLog` of a shard. @throws DamagedShardError when it is closed */
  shard(id: ShardId): ShardLog {
    return this.#shards.get(id) ?? this.#openShard(id);
  }

  #openShard(id: ShardId): ShardLog {
    if (this.#damaged.has(id)) throw this.#damaged.error(id);
    const log = new ShardLog(id, this.#segments.extent(id), this.#commit, this.#segments, (changed, bytes) =>
      this.#flusher.applied(changed, bytes),
    );
    this.#shards.set(id, log);
    return log;
  }

  /** Shards that are closed since their data is damaged. */
  get damaged(): Damage[] {
    return this.#damaged.list();
  }

  isDamaged(id: ShardId): boolean {
    return this.#damaged.has(id);
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
    if (this.#wal.failed === undefined) await this.#flusher.flushAll(stopped);
  }

  /**
   * Takes what was erased so far out of every file: the log begins another file, shards with records in older ones are flushed, those files are removed, and
   * segments with erased entries are rewritten. Resolves when no file has the bytes any more.
   * @throws FlushError or LogFailedError; what was not done is done by the next call, be it after a restart
   */
  async eraseNow(onProgress?: (shard: ShardId, done: number, total: number) => void): Promise<void> {
    await this.idle();
    const fileNo = this.#wal.leaveFile();
    await this.#flusher.flushAll(() => this.#flusher.oldestFileNo >= fileNo);
    this.#trimBelow(Math.min(fileNo, this.#flusher.oldestFileNo));
    if (this.#oldestFileNo < fileNo) {
      throw new FlushError("log files with erased entries could not be flushed and removed now; erase again", "EBUSY");
    }
    for (const shard of this.pendingErasures()) {
      await this.#inFiles(shard, () => {
        return this.#segments.erase(shard, [], (done, total) => onProgress?.(shard, done, total));
      });
    }
    if (this.#damaged.hasParts) {
      const what = 'damaged parts of the log are kept, erased entries among them perhaps; run "parley repair"';
      throw new FlushError(what, KEPT_FOR_DAMAGED);
    }
  }

  /** Shards with erased entries that are still in segment files, as far as flushes have brought the erasures there. `eraseNow` finishes them. */
  pendingErasures(): ShardId[] {
    return this.#segments.pendingErasures().filter((shard) => !this.#damaged.has(shard));
  }

  /**
   * Packs what flushes left behind tighter, into fewer files. Nothing that is read changes; flushes go on.
   * @throws FlushError, DamagedShardError
   */
  compact(shard: ShardId, options?: CompactOptions): Promise<CompactReport> {
    return this.#inFiles(shard, () => this.#segments.compact(shard, options));
  }

  async #inFiles<T>(shard: ShardId, work: () => Promise<T>): Promise<T> {
    if (this.#damaged.has(shard)) throw this.#damaged.error(shard);
    try {
      return await work();
    } catch (error) {
      if (this.#damage.closeIfDamaged(shard, error)) throw this.#damaged.error(shard);
      throw error;
    }
  }

  /**
   * Looks whether the directory is still its own. When it is not, the log fails: what is being written is finished, and nothing is written after it. To be called
   * now and then; what makes files asks by itself.
   */
  checkDirectory(): void {
    if (this.#wal.failed !== undefined) return;
    try {
      this.#ownership.check();
    } catch (error) {
      this.#wal.fail(error);
      void this.idle().then(() => this.#tellFailure());
    }
  }

  get #isOwned(): boolean {
    try {
      this.#ownership.check();
      return true;
    } catch {
      return false;
    }
  }

  #tellFailure(): void {
    if (this.#isFailureTold) return;
    this.#isFailureTold = true;
    this.#onFailure(this.#wal.failed!);
  }

  /** Waits for what is being written, flushes nothing more, closes every file. */
  async close(): Promise<void> {
    try {
      await this.#stop();
      this.#ownership.end();
    } finally {
      await this.#segments.close();
    }
  }

  /** It could not be opened: a log file that was begun is closed. Why is told already. */
  async #giveUp(): Promise<void> {
    await this.#stop().catch(() => {});
  }

  /** Nothing is written by it any more; it can still be read. */
  async #stop(): Promise<void> {
    await this.idle();
    this.#commit.close();
    await this.#flusher.close();
    await this.#wal.close(this.#oldestFileNo < this.#wal.fileNo);
  }

  /** Whether a store that failed has a chance when it is opened again: the directory is its own, and it fills a little of the disk and lets it go. */
  hasRoom(): Promise<boolean> {
    const path = join(this.#directory, PREPARED_NAME);
    if (!this.#isOwned || !hasRoom(this.#files, this.#directory, Math.min(PROBE_BYTES, this.#walFileBytes)))
      return Promise.resolve(false);
    return new Promise((resolve) => {
      this.#files.fillZeros(
        path,
        PROBE_BYTES,
        () => false,
        (error) => {
          this.#tryRemove(path);
          resolve(error === null);
        },
      );
    });
  }

  *#recover(unacked?: WalPlace): Steps<void> {
    const numbers = this.#logFileNumbers();
    if (numbers.length === 0) this.#segments.mustBeUnused();
    const noRoom = this.#beginOpening();
    const isNew = this.#isNew(numbers);
    this.#damage.begin();
    if (!isNew) this.#segments.begin(false, this.#damage.met);
    const recovery = yield* recoverLog({
      directory: this.#directory,
      files: this.#files,
      shard: (id) => this.#openIfWhole(id),
      mustBeUnused: () => this.#segments.mustBeUnused(),
      recovered: (log, bytes) => this.#flusher.recovered(log, bytes),
      unacked,
      onDamage: this.#damage.closes ? this.#damage.met : undefined,
    });
    this.#recovery = recovery;
    if (recovery.chain !== undefined) this.#ownership.noteRead(recovery.newestFileNo, recovery.chain);
    this.#oldestFileNo = recovery.oldestFileNo;
    this.#damage.recovered();
    try {
      if (noRoom !== undefined) throw noRoom;
      this.#wal.open(recovery.newestFileNo + 1, recovery.chain ?? 0);
      if (isNew) this.#segments.begin(true, this.#damage.met);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.#wal.refuse(recovery.newestFileNo, error);
      this.#isFailureTold = true;
    }
    this.#damage.opened();
  }

  /** Nothing was ever written to it; each first opening that was cut short leaves a file without a frame. */
  #isNew(numbers: number[]): boolean {
    if (numbers.length > 0 && numbers[0] !== 1) return false;
    return numbers.every((fileNo) => {
      const look = this.#files.look(join(this.#directory, walFileName(fileNo)));
      return look !== undefined && look.size <= FILE_HEAD_BYTES;
    });
  }

  #logFileNumbers(): number[] {
    const numbers = this.#files.list(this.#directory).map(walFileNo);
    return numbers.filter((number) => number !== undefined).toSorted((a, b) => a - b);
  }

  // ---- damage

  #openIfWhole(shard: ShardId): ShardLog | undefined {
    try {
      return this.shard(shard);
    } catch (error) {
      if (this.#damaged.has(shard)) return undefined;
      throw error;
    }
  }

  #closeShard(shard: ShardId): void {
    const log = this.#shards.get(shard);
    if (log === undefined) return;
    this.#shards.delete(shard);
    log.close(this.#damaged.error(shard));
    this.#flusher.forget(log);
  }

  /** What is on its way to the log can get into one of the next two files. */
  #logFilesOf(log: ShardLog | undefined): LogFileRange {
    const { fileNo } = this.#wal;
    if (fileNo === 0) {
      const numbers = this.#logFileNumbers();
      return { firstFileNo: numbers[0] ?? 0, lastFileNo: numbers.at(-1) ?? 0 };
    }
    const firstFileNo = log?.oldestFileNo ?? (log?.isAppending === true ? fileNo : 0);
    return { firstFileNo, lastFileNo: firstFileNo === 0 ? 0 : fileNo + 2 };
  }

  /** @returns the error of a full disk: the log can be read all the same */
  #beginOpening(): Error | undefined {
    try {
      this.#ownership.begin();
      return undefined;
    } catch (error) {
      if (isDiskFull(error)) return error as Error;
      throw error;
    }
  }

  /** Oldest first and each durably gone before the next: a crash must not leave a gap. What cannot be removed now is tried again at the next trim. */
  #trimBelow(fileNo: number): void {
    if (this.#oldestFileNo >= fileNo || !this.#isOwned) return;
    this.#ownership.trimmedBelow(fileNo);
    while (this.#oldestFileNo < fileNo) {
      if (!this.#letGo(this.#oldestFileNo)) return;
      this.#oldestFileNo++;
    }
  }

  #letGo(fileNo: number): boolean {
    try {
      this.#damaged.takeAside(this.#directory, fileNo);
    } catch (error) {
      return this.#notRemoved(error);
    }
    return this.#tryRemove(join(this.#directory, walFileName(fileNo)));
  }

  #tryRemove(path: string): boolean {
    try {
      this.#files.remove(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") return this.#notRemoved(error);
    }
    try {
      this.#files.syncDirectory(this.#directory);
      return true;
    } catch (error) {
      return this.#notRemoved(error);
    }
  }

  #notRemoved(error: unknown): false {
    this.#onFlushFailure(error);
    return false;
  }
}

function isDiskFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOSPC" || code === "EDQUOT";
}
