/**
 * The log store of one node: 1000 shards over one log and their segment files.
 *
 *     append → log → apply to the shard's memtable → owner notified      … → flush → segments → log trimmed
 *
 * Which log it is (log/commit-log.ts) and which segments, open-store.ts says. How records come back is recovery.ts.
 *
 * When the log of a shard fails, the shard can be read only: every waiting owner is notified, nothing more is accepted,
 * what was committed can still be read. Where the cause is that of all shards, the caller opens the store anew
 * (`reopen`), from what is on disk; where it is one shard's alone, that shard (`reopenShard`). A store whose log cannot
 * get room because the disk is full opens read only, too. `hasRoom` says when another try is worth it.
 */
import { DamageControl, type DamagePolicy } from "./shard/damage-control.ts";
import { DamagedShards, type Damage } from "./shard/damaged-shards.ts";
import type { LogFailure } from "./errors.ts";
import { type EraseProgress, FileWork } from "./shard/file-work.ts";
import { Flusher } from "./shard/flusher.ts";
import type { CommitLog, LogHooks } from "./log/commit-log.ts";
import { OpenShards } from "./shard/open-shards.ts";
import type { Recovery } from "./shard/recovery.ts";
import type { CompactOptions, CompactReport, SegmentStore } from "./files/segment-store.ts";
import type { ShardLog } from "./shard/shard-log.ts";
import { isDiskFull, shortageOf, type Shortage } from "./shortage.ts";
import { paced, type Pace } from "./steps.ts";
import type { LogStoreHooks } from "./store-options.ts";
import type { Offset, ShardId } from "./types.ts";
import type { FileSystem } from "./vfs/file-system.ts";
import { guardedFiles } from "./vfs/guarded-files.ts";

const MIB = 1 << 20;
/**
 * Flushed at once: as many shards as one sync serves well, and no more than keeps the worker busy for some tens of
 * milliseconds.
 */
const FLUSHED_SHARDS = 32;
const FLUSHED_BYTES = 2 * MIB;
const FLUSH_WAIT_MS = 60_000;
/** A shard's memtable goes to the flush worker in one buffer, which cannot have more than 4 GiB. */
const SHARD_BYTES_MAX = 256 * MIB;

export type LogStoreParts = {
  /** The data directory: the list of damaged shards is there. */
  directory: string;
  files: FileSystem;
  segments: SegmentStore;
  makeLog: (hooks: LogHooks) => CommitLog;
  damage: DamagePolicy;
  memtableBytesMax: number;
  flushWaitMs?: number | undefined;
};

export class LogStore {
  readonly #parts: LogStoreParts;
  readonly #segments: SegmentStore;
  readonly #shards: OpenShards;
  readonly #log: CommitLog;
  readonly #flusher: Flusher;
  readonly #onFailure: LogStoreHooks["onFailure"];
  readonly #damaged: DamagedShards;
  readonly #damage: DamageControl;
  readonly #work: FileWork;
  #recovery: Recovery | undefined;
  /** What `reopen` made last. */
  #successor: LogStore | undefined;

  /** @throws as `openLogStore`; the segments stay open */
  static async open(parts: LogStoreParts, hooks: LogStoreHooks): Promise<LogStore> {
    const store = new LogStore(parts, hooks);
    await store.#orGiveUp(async () => {
      store.#damaged.load();
      await store.#recover("at once");
    });
    return store;
  }

  /**
   * The store that follows this one, which has failed: recovered from what is on disk, over the same segments. This one
   * can be read until then, and also afterwards when it throws. The successor closes what they share. A caller that
   * cannot use the successor calls this again: that one is stopped first, since two would write to one log.
   * @throws Error while a flush is still under way that has taken longer than closing waits: what it brings to disk
   * would be in memory, too. CorruptionError and others as `openLogStore`
   */
  async reopen(hooks: LogStoreHooks): Promise<LogStore> {
    await this.#stop();
    const before = this.#successor;
    if (before !== undefined) await before.#giveUp();
    if (this.#flusher.isFlushing || (before !== undefined && before.#flusher.isFlushing))
      throw new Error("a flush is still under way; the log can be opened again when that has ended");
    // What was found damaged since the opening must not keep the rest closed.
    const damage = this.#damage.closes ? "close" : "refuse";
    const makeLog = (logHooks: LogHooks): CommitLog => this.#log.reopen(logHooks);
    const store = new LogStore({ ...this.#parts, damage, makeLog }, hooks, this.#damaged);
    this.#successor = store;
    // This one is read meanwhile.
    await store.#orGiveUp(() => store.#recover("over turns"));
    return store;
  }

  private constructor(parts: LogStoreParts, hooks: LogStoreHooks, damagedBefore?: DamagedShards) {
    const { directory, segments, damage, memtableBytesMax, flushWaitMs = FLUSH_WAIT_MS } = parts;
    this.#parts = parts;
    this.#segments = segments;
    this.#onFailure = hooks.onFailure;
    this.#log = parts.makeLog(this.#logHooks(hooks));
    const mustOwn = (): void => this.#log.mustOwn();
    const files = guardedFiles(parts.files, mustOwn);
    this.#damaged = damagedBefore ?? new DamagedShards(directory, files);
    // Files that the one before wrote may go now, and with them what it knows its directory by.
    damagedBefore?.handTo(files);
    this.#damage = new DamageControl({
      policy: damage,
      damaged: this.#damaged,
      mustOwn,
      logRangeOf: (shard) => this.#shards.logRangeOf(shard),
      onClose: (shard) => this.#shards.close(shard),
      onDamage: hooks.onDamage ?? ((): void => {}),
      onUnsaved: hooks.onFlushFailure,
    });
    this.#flusher = new Flusher(
      {
        shardBytesMax: Math.min(Math.max(memtableBytesMax / 8, MIB), SHARD_BYTES_MAX),
        totalBytesMax: memtableBytesMax,
        shardsAtOnce: FLUSHED_SHARDS,
        bytesAtOnce: FLUSHED_BYTES,
        closeMsMax: flushWaitMs,
      },
      {
        segments,
        log: this.#log,
        checkpoint: hooks.checkpoint,
        onFailure: hooks.onFlushFailure,
        onDamage: ({ shard }, error) => this.#damage.closeIfDamaged(shard, error),
      },
    );
    this.#shards = new OpenShards({
      log: this.#log,
      segments,
      damaged: this.#damaged,
      damage: this.#damage,
      flusher: this.#flusher,
    });
    this.#work = new FileWork({
      log: this.#log,
      flusher: this.#flusher,
      segments,
      damage: this.#damage,
      damaged: this.#damaged,
    });
  }

  #logHooks({ beforeWrite, onListenerError, onFlushFailure }: LogStoreHooks): LogHooks {
    return {
      beforeWrite,
      onListenerError,
      afterCommit: () => this.#flusher.check(),
      onFailure: (error, shards) => this.#logFailed(error, shards),
      onTrimFailure: onFlushFailure,
      kept: () => {
        if (this.#damaged.size === 0) return [];
        this.#damaged.save();
        return this.#damaged.list();
      },
    };
  }

  /** What recovery found when the store was opened. */
  get recovery(): Recovery {
    return this.#recovery!;
  }

  // ---- how it stands

  /**
   * Set when the log has failed for all shards, or could not be begun: the store is read only. See `ShardLog.failure`.
   */
  get failed(): LogFailure | undefined {
    return this.#log.failure();
  }

  /**
   * Above 1 refuse new work. It is the larger of: what the log says for all shards; bytes in memory that wait for a
   * flush, as a part of four times `memtableBytesMax`. Infinite when nothing can be accepted. `ShardLog.pressure` has
   * what concerns one shard.
   */
  get pressure(): number {
    return Math.max(this.#log.pressure(), this.#flusher.totalBytes / (4 * this.#parts.memtableBytesMax));
  }

  /** Why `pressure` is above 1; undefined while it is not. */
  get shortage(): Shortage | undefined {
    const shortage = this.#log.shortage();
    if (shortage !== undefined) return shortage;
    return this.pressure > 1 ? (shortageOf(this.#flusher.failure) ?? "memory full") : undefined;
  }

  /** The error behind `shortage`, where there is one. */
  get shortageCause(): unknown {
    return this.#log.shortageCause() ?? this.#flusher.failure;
  }

  /** Whether a store that failed has a chance when it is opened again. */
  hasRoom(): Promise<boolean> {
    return this.#log.canReopen();
  }

  /**
   * Checks that it is still the only one that writes to its directory; for calling now and then. If not, the log fails.
   */
  checkDirectory(): void {
    this.#log.checkOwner();
  }

  #logFailed(error: LogFailure, shards: readonly ShardId[]): void {
    this.#shards.failed(error, shards);
    this.#onFailure(error, shards);
  }

  // ---- shards

  /** Whether records of all shards are committed in the order in which they were appended. */
  get isOneOrder(): boolean {
    return this.#log.isOneOrder === true;
  }

  /** The one `ShardLog` of a shard. @throws DamagedShardError when it is closed */
  shard(id: ShardId): ShardLog {
    return this.#shards.get(id);
  }

  /**
   * Opens a shard again that has failed alone, in a new term. The `ShardLog` before it accepts nothing more, and can be
   * read until then.
   * @param onOpen called in the turn in which `shard` begins to return the new one
   * @throws FencedError when the shard is another node's; CorruptionError
   */
  reopenShard(id: ShardId, onOpen: () => void = () => {}): Promise<ShardLog> {
    return this.#shards.reopen(id, onOpen);
  }

  /**
   * Brings other files into the place of the shard's, as a move from another node does. Of its records here and those in
   * the new files, one must be a beginning of the other. The `ShardLog` before accepts nothing more.
   * @param place replaces the files, or does nothing; the shard cannot be asked for meanwhile
   * @throws what `place` throws: then the shard is as it was before, or as `place` left it. FlushError
   */
  replaceShard(id: ShardId, place: () => Promise<void>): Promise<ShardLog> {
    return this.#shards.replace(id, place);
  }

  /** Offset of the last record of the shard that its files have. @throws CorruptionError */
  flushedThrough(id: ShardId): Offset {
    return this.#segments.reach(id).flushedThrough;
  }

  /**
   * Moves all that files have of the shard to its own files, without what was erased: so they can be copied.
   * @throws FlushError, DamagedShardError
   */
  async settle(id: ShardId): Promise<void> {
    if (this.pendingErasures().includes(id)) await this.#segments.erase(id, []);
    await this.#segments.spill(id);
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
    return this.#shards.list();
  }

  // ---- work

  /** Asks for `beforeWrite` soon, although no record was appended yet. */
  schedule(): void {
    this.#log.schedule();
  }

  /** Resolves when every appended record is durable or failed. */
  idle(): Promise<void> {
    return this.#log.idle();
  }

  /** Flushes all that it can until `stopped` says so; what is left stays in the log. */
  async flushAll(stopped: () => boolean): Promise<void> {
    await this.idle();
    if (this.failed === undefined) await this.#flusher.flushAll(stopped);
  }

  /**
   * Takes what was erased so far out of every file: shards with records in older parts of the log are flushed, those
   * parts are removed, and segments with erased entries are rewritten. Resolves when no file has the bytes any more.
   * @throws FlushError or LogFailedError; what was not done is done by the next call, be it after a restart
   */
  eraseNow(onProgress?: EraseProgress): Promise<void> {
    return this.#work.erase(onProgress);
  }

  /**
   * Shards with erased entries that are still in segment files, as far as flushes have brought the erasures there.
   * `eraseNow` finishes them.
   */
  pendingErasures(): ShardId[] {
    return this.#work.pendingErasures();
  }

  /**
   * Packs what flushes left behind tighter, into fewer files. Nothing that is read changes; flushes go on.
   * @throws FlushError, DamagedShardError
   */
  compact(shard: ShardId, options?: CompactOptions): Promise<CompactReport> {
    return this.#work.compact(shard, options);
  }

  // ---- opening and closing

  async #recover(pace: Pace): Promise<void> {
    const contents = await this.#log.contents();
    if (contents === "nothing") this.#segments.mustBeUnused();
    const isNew = contents !== "records";
    await this.#log.begin();
    this.#damage.begin();
    if (!isNew) this.#segments.begin(false, this.#damage.met);
    const reader = this.#shards.recovery();
    const read = await this.#log.recover(reader, pace);
    await paced(pace, reader.end());
    this.#recovery = { ...read, records: reader.copied, gaps: reader.gaps };
    this.#damage.recovered();
    try {
      await this.#log.open();
      if (isNew) this.#segments.begin(true, this.#damage.met);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.#log.refuse(error);
    }
    this.#damage.opened();
  }

  /** Waits for what is being written, flushes nothing more, closes every file. */
  async close(): Promise<void> {
    try {
      await this.#stop();
      if (this.#successor !== undefined) await this.#successor.#giveUp();
      this.#log.end();
    } finally {
      await this.#segments.close();
    }
  }

  /** When it cannot be opened a log file that was begun is closed. */
  async #orGiveUp(open: () => Promise<void>): Promise<void> {
    try {
      await open();
    } catch (error) {
      await this.#giveUp();
      throw error;
    }
  }

  /** The cause was reported already. */
  async #giveUp(): Promise<void> {
    await this.#stop().catch(() => {});
  }

  /** Nothing is written by it any more; it can still be read. */
  async #stop(): Promise<void> {
    await this.idle();
    await this.#flusher.close();
    await this.#log.stop();
  }
}
