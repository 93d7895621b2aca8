/**
 * The segment side of the log store: what was flushed of each shard, in SQLite, in `DIR/shards/recent.db` and under
 * `DIR/shards/NNN/`.
 *
 * Reads are synchronous, on the caller's thread; writes happen in one worker. A reader never waits for the writer:
 * files that are written to are in WAL mode. It does not know what was not flushed yet, and does not lock the
 * directory: one process at a time, the caller sees to it. A shard with little has no files of its own, and asking
 * about one makes none.
 *
 * Looking at a shard begins with `recent.db` and goes on with the shard's `state.db`: a flush commits them the other
 * way round, so what has left the one is in the other, and what is in both counts once (layers/recent-file.ts).
 */
import { CorruptionError } from "../errors.ts";
import { LayerSource, readStack } from "./layers/page-table.ts";
import {
  checkOwn,
  checkColumns,
  damagedRecentShards,
  findRecentShard,
  RECENT_FORMAT,
  type RecentShardRow,
  recentSource,
} from "./layers/recent-file.ts";
import { Streams, type LayeredStream } from "./layers/layered-stream.ts";
import { findPosition } from "./layers/position-table.ts";
import type { SqlDatabase } from "./sqlite/database.ts";
import { type ShardRow, STATE_FORMAT } from "./placed/state-file.ts";
import { allNames, findShard, findStreamName } from "./placed/state-reader.ts";
import type { KeyHit, Offset, Seq, ShardId, StoredEntry, StreamHead, StreamSnapshot, Term } from "../types.ts";
import type { HeldDirectory } from "../vfs/held-directory.ts";
import { BlockCache } from "./sqlite/block-cache.ts";
import { BlockSource } from "./placed/block-source.ts";
import { CODEC_LZ4, CODEC_ZSTD, type Packing } from "../encoding/packing.ts";
import { createDatabaseFile, createDirectory, emptyDatabase } from "./sqlite/database-file.ts";
import { FlushError } from "./flush-error.ts";
import { corruptionOr } from "./sqlite/sqlite-errors.ts";
import { FlushClient } from "./flush/flush-client.ts";
import type { WorkerOptions } from "./flush/flush-protocol.ts";
import { HandlePool, openForReading } from "./sqlite/handle-pool.ts";
import {
  erasingPath,
  erasingShards,
  hasState,
  recentPath,
  shardDirectory,
  shardsDirectory,
  statePath,
} from "./sqlite/paths.ts";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CellCache } from "./cell-cache.ts";
import { ShardReader } from "./shard-reader.ts";
import type {
  CompactOptions,
  CompactReport,
  EraseRange,
  FlushJob,
  OnDamage,
  Progress,
  SegmentStore,
  ShardReach,
} from "./segment-store.ts";

export const LOG_MISSING = "the log is missing, recent.db is there";

export type SegmentStoreOptions = {
  /** The data directory; `shards` is made in it by the first flush. */
  dir: string;
  /** The same, held by the caller: nothing is written when it is not where it was. `dir` is its `at`. */
  held?: HeldDirectory | undefined;
  /** Files open for reading; each has up to three descriptors. Default 256. */
  readHandlesMax?: number;
  /** Shards open for writing; each is two files. Default 32. */
  writersMax?: number;
  /** Default 64 MiB. */
  segmentBytesMax?: number;
  /** Raw bytes at which a block is full. Default 32 KiB. */
  blockBytesMax?: number;
  /**
   * SQLite's write-ahead file is folded into its database after a flush that leaves it larger. Default 4 MiB, of
   * `recent.db` 16 MiB.
   */
  walBytesMax?: number;
  /** Unpacked blocks kept for reading. Default 8 MiB. */
  cacheBytesMax?: number;
  /**
   * Entries of a lane that go to a block together; fewer wait in the state. Default 32: a page of 30 is then in the
   * state and one file, or in two files. At most 64.
   */
  runEntriesMin?: number;
  /** Items of a stream that wait in the state's layers before they are placed lane by lane. Default 256. */
  recentItemsMax?: number;
  /** Bytes of items that the layers of a state hold; with more, all are placed. Default 8 MiB. */
  layerBytesMax?: number;
  /** Raw bytes that a shard has in `recent.db`; with more, all of it moves to its own files. Default 256 KiB. */
  recentBytesMax?: number;
  /** Keeps where the log has what was flushed last, for a log whose recovery begins there. Default false. */
  keepsPositions?: boolean;
  /**
   * How flushes pack. Default: layers, which are written again and again, with LZ4; blocks, which stay until they are
   * compacted, with zstd at level 1. Compaction packs all with zstd at level 9.
   */
  packing?: Packing;
  /** How long closing waits for flushes under way, milliseconds. Default 60,000. */
  closeMsMax?: number;
  /** For tests that need a worker that fails. */
  startWorker?: () => Worker;
};

const KIB = 1024;
const MIB = 1024 * KIB;

const CLOSE_MS_MAX = 60_000;
const BLOCK_LEVEL = 1;
const COMPACT_LEVEL = 9;

export function openSegmentStore(options: SegmentStoreOptions): SegmentStore {
  return new SqliteSegmentStore(options);
}

class SqliteSegmentStore implements SegmentStore {
  readonly #dir: string;
  readonly #recentPath: string;
  readonly #closeMsMax: number;
  readonly #keepsPositions: boolean;
  readonly #writing: FlushClient;
  readonly #pool: HandlePool;
  readonly #blocks: BlockSource;
  readonly #cache: BlockCache;
  readonly #cells = new CellCache();
  #recent: SqlDatabase | undefined;
  /** Shards that have no files of their own. Only this process makes any, so it need not ask again and again. */
  readonly #withoutState = new Set<ShardId>();
  readonly #erasing: Set<ShardId>;
  /** What `within` has open. */
  #held: HeldMoment | undefined;
  #isClosed = false;
  #onDamage: OnDamage = () => {};

  constructor(options: SegmentStoreOptions) {
    this.#dir = options.dir;
    this.#recentPath = recentPath(options.dir);
    this.#closeMsMax = options.closeMsMax ?? CLOSE_MS_MAX;
    this.#keepsPositions = options.keepsPositions ?? false;
    this.#pool = new HandlePool(options.readHandlesMax ?? 256);
    this.#cache = new BlockCache(options.cacheBytesMax ?? 8 * MIB);
    this.#blocks = new BlockSource(options.dir, this.#pool, this.#cache);
    this.#erasing = new Set(erasingShards(options.dir));
    const start = options.startWorker ?? (() => new Worker(new URL("./flush/flush-worker.ts", import.meta.url)));
    const release = (shard: ShardId, files: number[]): void => {
      for (const file of files) this.#blocks.release(shard, file);
    };
    this.#writing = new FlushClient(start, workerOptions(options), release);
  }

  mustBeUnused(): void {
    if (!existsSync(recentPath(this.#dir))) return;
    throw new CorruptionError(join(this.#dir, "wal"), "this name", LOG_MISSING);
  }

  begin(isNew: boolean, onDamage: OnDamage = () => {}): void {
    this.#onDamage = onDamage;
    const path = recentPath(this.#dir);
    if (existsSync(path)) return isNew ? undefined : this.#checkRecent(path);
    if (!isNew) throw new CorruptionError(path, "this name", `${RECENT_FORMAT.name} is missing, the log is there`);
    createDirectory(shardsDirectory(this.#dir));
    createDatabaseFile(path, emptyDatabase(RECENT_FORMAT, "wal"));
  }

  /**
   * A damaged row would otherwise be found only when its shard is read; one whose shard number is damaged, never.
   */
  #checkRecent(path: string): void {
    try {
      const db = this.#openRecent()!;
      checkColumns(db);
      for (const { shard, error } of db.within("BEGIN", () => damagedRecentShards(db))) this.#onDamage(shard, error);
    } catch (error) {
      throw corruptionOr(error, path);
    }
  }

  reach(shard: ShardId): ShardReach {
    return this.#inMoment(shard, ({ recentDb, recentRow, stateRow }) => {
      const larger = (of: (row: RecentShardRow | ShardRow) => number): number =>
        Math.max(recentRow ? of(recentRow) : 0, stateRow ? of(stateRow) : 0);
      const flushedThrough = larger((row) => row.flushed_through) as Offset;
      const position = this.#keepsPositions && recentDb ? findPosition(recentDb, shard, flushedThrough) : undefined;
      return {
        flushedThrough,
        ...(position === undefined ? {} : { flushedPosition: position }),
        term: larger((row) => row.term) as Term,
        streamCount: larger((row) => row.streams),
      };
    });
  }

  /** The moment begins with the first question that files have to answer. */
  within<T>(shard: ShardId, ask: () => T): T {
    if (this.#held !== undefined) return ask();
    const held: HeldMoment = { shard, begun: undefined };
    this.#held = held;
    try {
      return ask();
    } catch (error) {
      throw this.#noted(shard, corruptionOr(error, held.begun?.file ?? this.#recentPath));
    } finally {
      this.#held = undefined;
      held.begun?.end();
    }
  }

  head(shard: ShardId, stream: string): StreamHead | undefined {
    return this.#ofStream(shard, stream, (_, layered) => headOf(layered));
  }

  streamName(shard: ShardId, streamNo: number): string | undefined {
    return this.#inMoment(shard, ({ state, stateRow, recent }) => {
      if (state !== undefined && streamNo <= (stateRow?.streams ?? 0)) return findStreamName(state, streamNo);
      if (recent === undefined) return undefined;
      for (const { reach } of new Streams([recent]).each()) if (reach.streamNo === streamNo) return reach.name;
      return undefined;
    });
  }

  streamNames(shard: ShardId): string[] {
    return this.#inMoment(shard, ({ state, stateRow, recent }) => {
      const names = new Set(state === undefined ? [] : allNames(state, stateRow?.streams ?? 0));
      if (recent !== undefined) for (const { reach } of new Streams([recent]).each()) names.add(reach.name);
      return [...names];
    });
  }

  cell(shard: ShardId, stream: string, name: string): Uint8Array | undefined {
    return this.#cells.get(shard, stream, name, () =>
      this.#ofStream(shard, stream, (_, layered) => layered.cell(name)),
    );
  }

  snapshot(shard: ShardId, stream: string): StreamSnapshot | undefined {
    return this.#ofStream(shard, stream, (_, layered) => ({
      head: headOf(layered),
      cell: (name) => layered.cell(name),
      cells: () => layered.eachCell(),
    }));
  }

  cells(shard: ShardId, stream: string): Map<string, Uint8Array> {
    return new Map(this.snapshot(shard, stream)?.cells());
  }

  readForward(shard: ShardId, stream: string, after: Seq, limit: number): StoredEntry[] {
    return this.#ofStream(shard, stream, (reader, layered) => reader.forward(layered, after, limit)) ?? [];
  }

  readLaneForward(shard: ShardId, stream: string, lane: string, after: Seq, limit: number): StoredEntry[] {
    return this.#ofStream(shard, stream, (reader, layered) => reader.laneForward(layered, lane, after, limit)) ?? [];
  }

  readLaneBackward(shard: ShardId, stream: string, lane: string, before: Seq, limit: number): StoredEntry[] {
    return this.#ofStream(shard, stream, (reader, layered) => reader.laneBackward(layered, lane, before, limit)) ?? [];
  }

  findKey(shard: ShardId, stream: string, key: string): KeyHit | undefined {
    return this.#ofStream(shard, stream, (reader, layered) => reader.key(layered, key));
  }

  highestCounter(shard: ShardId, stream: string, prefix: string): number | undefined {
    const found = this.#ofStream(shard, stream, (reader, layered) => ({
      highest: reader.highestCounter(layered, prefix),
    }));
    return found === undefined ? -1 : found.highest;
  }

  streamsSince(shard: ShardId, offset: Offset): { stream: string; fromSeq: Seq }[] {
    return this.#inMoment(shard, ({ reader }) => reader.streamsSince(offset));
  }

  async flush(job: FlushJob): Promise<void> {
    this.#cells.changing(job.shard);
    try {
      if (await this.#writing.flush(job)) this.#erasing.add(job.shard);
    } catch (error) {
      // It may have taken effect in the shard's own files all the same, its erasures with it.
      if (existsSync(erasingPath(this.#dir, job.shard))) this.#erasing.add(job.shard);
      throw error;
    } finally {
      this.#withoutState.delete(job.shard);
      this.#cells.changed(job.shard);
    }
  }

  async erase(shard: ShardId, ranges: EraseRange[], onProgress?: Progress): Promise<void> {
    if (this.#isEmpty(shard)) return;
    this.#erasing.add(shard);
    try {
      await this.#writing.erase(shard, ranges, onProgress);
    } finally {
      this.#withoutState.delete(shard);
    }
    this.#erasing.delete(shard);
  }

  pendingErasures(): ShardId[] {
    return [...this.#erasing];
  }

  async compact(shard: ShardId, options: CompactOptions = {}): Promise<CompactReport> {
    if (this.#isEmpty(shard)) return { filesBefore: 0, filesAfter: 0, bytesBefore: 0, bytesAfter: 0 };
    return this.#writing.compact(shard, options.level ?? COMPACT_LEVEL, options.onProgress);
  }

  async spill(shard: ShardId): Promise<void> {
    if (this.#isEmpty(shard)) return;
    try {
      await this.#writing.spill(shard);
    } finally {
      this.#withoutState.delete(shard);
    }
  }

  async letGo(shard: ShardId): Promise<void> {
    const readers = (): void => {
      this.#pool.dropAll(`${shardDirectory(this.#dir, shard)}/`);
      // Of blocks, and of layers.
      this.#cache.drop(`${shard}/`);
      this.#cache.drop(`${shardDirectory(this.#dir, shard)}/`);
      this.#withoutState.delete(shard);
      this.#cells.changed(shard);
    };
    // The worker leaves single files where nobody reads.
    readers();
    await this.#writing.letGo(shard);
    readers();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    // Where nobody reads, the worker leaves single files.
    this.#pool.close();
    this.#recent?.close();
    await this.#writing.close(this.#closeMsMax);
  }

  #isEmpty(shard: ShardId): boolean {
    if (this.#isClosed) throw new FlushError("the segment store is closed", "closed");
    return this.reach(shard).flushedThrough === 0;
  }

  #ofStream<T>(shard: ShardId, stream: string, ask: (reader: ShardReader, layered: LayeredStream) => T): T | undefined {
    return this.#inMoment(shard, ({ reader, streams }) => {
      const layered = streams.find(stream);
      return layered === undefined ? undefined : ask(reader, layered);
    });
  }

  /** Asks in one moment of the shard's files. */
  #inMoment<T>(shard: ShardId, ask: (moment: ShardMoment) => T): T {
    if (this.#isClosed) throw new Error("the segment store is closed");
    const held = this.#held;
    if (held !== undefined) {
      if (held.shard !== shard)
        throw new Error(`assertion failed: shard ${shard} is not asked inside a moment of ${held.shard}`);
      return ask((held.begun ??= this.#begin(shard)).moment);
    }
    const begun = this.#begin(shard);
    try {
      return ask(begun.moment);
    } catch (error) {
      throw this.#noted(shard, corruptionOr(error, begun.file));
    } finally {
      begun.end();
    }
  }

  #begin(shard: ShardId): BegunMoment {
    const open: SqlDatabase[] = [];
    const end = (): void => {
      for (const db of open) if (db.inTransaction) db.sql("COMMIT").run();
    };
    const begin = (db: SqlDatabase): void => {
      db.sql("BEGIN").run();
      open.push(db);
    };
    let file = this.#recentPath;
    try {
      const db = this.#openRecent();
      if (db !== undefined) begin(db);
      const row = db && findRecentShard(db, shard);
      const state = this.#openState(shard, (row?.own_through ?? -1) >= 0);
      if (state !== undefined) {
        file = state.file;
        begin(state);
      }
      return { moment: this.#momentOf(shard, db, row, state), file, end };
    } catch (error) {
      end();
      throw this.#noted(shard, corruptionOr(error, file));
    }
  }

  /** Reports damage once, with the shard in which it was met. */
  #noted(shard: ShardId, error: unknown): unknown {
    if (!(error instanceof CorruptionError) || error.shard !== undefined) return error;
    error.shard = shard;
    this.#onDamage(shard, error);
    return error;
  }

  #momentOf(
    shard: ShardId,
    db: SqlDatabase | undefined,
    recentRow: RecentShardRow | undefined,
    state: SqlDatabase | undefined,
  ): ShardMoment {
    const stateRow = state && findShard(state);
    const through = state === undefined ? -1 : (stateRow?.flushed_through ?? 0);
    checkOwn(statePath(this.#dir, shard), recentRow, through);
    const own = state && stateRow && new LayerSource(state, shard, readStack(stateRow.layers), this.#cache);
    const recent = db && recentSource(db, recentRow, stateRow?.flushed_through ?? -1, this.#cache);
    const streams = new Streams([own, recent].filter((source) => source !== undefined));
    const reader = new ShardReader(shard, state, stateRow, streams, this.#blocks);
    return { recentDb: db, recentRow, stateRow, recent, state, streams, reader };
  }

  /** Asked for by every read, so no other file takes its place among those that are open. */
  #openRecent(): SqlDatabase | undefined {
    const path = this.#recentPath;
    if (this.#recent === undefined && existsSync(path)) this.#recent = openForReading(path, RECENT_FORMAT, "written");
    return this.#recent;
  }

  /** @param isKnown whether `recent.db` says, in this moment, that there is one: made since it was last looked for */
  #openState(shard: ShardId, isKnown: boolean): SqlDatabase | undefined {
    const path = statePath(this.#dir, shard);
    const known = this.#pool.touch(path);
    if (known !== undefined) return known;
    if (!isKnown && this.#withoutState.has(shard)) return undefined;
    if (hasState(this.#dir, shard)) return this.#pool.get(path, STATE_FORMAT, "written");
    this.#withoutState.add(shard);
    return undefined;
  }
}

function headOf({ reach }: LayeredStream): StreamHead {
  return { streamNo: reach.streamNo, headSeq: reach.headSeq as Seq };
}

/** `file`: where an error is met that names none. */
type BegunMoment = { moment: ShardMoment; file: string; end: () => void };
type HeldMoment = { shard: ShardId; begun: BegunMoment | undefined };

/** A shard's files in one moment. `recent`: layers in `recent.db` that count. */
type ShardMoment = {
  recentDb: SqlDatabase | undefined;
  recentRow: RecentShardRow | undefined;
  stateRow: ShardRow | undefined;
  recent: LayerSource | undefined;
  state: SqlDatabase | undefined;
  streams: Streams;
  reader: ShardReader;
};

function workerOptions(options: SegmentStoreOptions): WorkerOptions {
  return {
    dir: options.dir,
    segmentBytesMax: options.segmentBytesMax ?? 64 * MIB,
    blockBytesMax: options.blockBytesMax ?? 32 * KIB,
    walBytesMax: options.walBytesMax ?? 4 * MIB,
    recentWalBytesMax: options.walBytesMax ?? 16 * MIB,
    writersMax: options.writersMax ?? 32,
    recentItemsMax: options.recentItemsMax ?? 256,
    layerBytesMax: options.layerBytesMax ?? 8 * MIB,
    recentBytesMax: options.recentBytesMax ?? 256 * KIB,
    runEntriesMin: options.runEntriesMin ?? 32,
    keepsPositions: options.keepsPositions ?? false,
    packing: options.packing ?? { codec: CODEC_LZ4 },
    blockPacking: options.packing ?? { codec: CODEC_ZSTD, level: BLOCK_LEVEL },
    identity: options.held?.identity,
  };
}
