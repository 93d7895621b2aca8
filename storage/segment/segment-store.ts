/**
 * The segment side of the log store: what was flushed of each shard, in SQLite, under `DIR/shards/NNN/`.
 *
 * Reads are synchronous, on the caller's thread; writes happen in one worker. A reader never waits for the writer: files that are written to
 * are in WAL mode. It does not know what was not flushed yet, and does not lock the directory: one process at a time, the caller sees to it.
 * A shard without data has no files, and asking about it makes none.
 */
import type { SqlDatabase } from "../sqlite.ts";
import { STATE_FORMAT, type StreamRow } from "../state/state-file.ts";
import { findCell, findShard, findStream, findStreamByNo, listCells } from "../state/state-reader.ts";
import type { KeyHit, Offset, Seq, ShardId, StoredEntry, StreamHead, Term } from "../types.ts";
import { BlockCache } from "./block-cache.ts";
import { BlockSource } from "./block-source.ts";
import { CODEC_LZ4, type Packing } from "./codec.ts";
import { corruptionOr } from "./errors.ts";
import { FlushClient } from "./flush-client.ts";
import type { WorkerOptions } from "./flush-protocol.ts";
import { HandlePool } from "./handle-pool.ts";
import { erasingShards, hasState, statePath } from "./paths.ts";
import { ShardReader } from "./shard-reader.ts";
import type {
  CompactOptions,
  CompactReport,
  EraseRange,
  FlushJob,
  Progress,
  SegmentStore,
  ShardExtent,
} from "./types.ts";

export type SegmentStoreOptions = {
  /** The data directory; `shards` is made in it by the first flush. */
  dir: string;
  /** Files open for reading; each has up to three descriptors. Default 256. */
  readHandlesMax?: number;
  /** Shards open for writing; each is two files. Default 32. */
  writersMax?: number;
  /** Default 64 MiB. */
  segmentBytesMax?: number;
  /** Raw bytes at which a block is full. Default 32 KiB. */
  blockBytesMax?: number;
  /** SQLite's write-ahead file is folded into its database after a flush that leaves it larger. Default 4 MiB. */
  walBytesMax?: number;
  /** Unpacked blocks kept for reading. Default 8 MiB. */
  cacheBytesMax?: number;
  /**
   * Entries of a lane that go to a block together; fewer wait in the state. Default 32: a page of 30 is then in the state and one file, or in two
   * files. At most 64.
   */
  runEntriesMin?: number;
  /** Recent items of a stream that wait in the state before they are placed lane by lane. Whoever reads its newest goes through them. Default 256. */
  recentItemsMax?: number;
  /** How flushes pack blocks. Default LZ4; compaction packs with zstd. */
  packing?: Packing;
  /** For tests that need a worker that fails. */
  startWorker?: () => Worker;
};

const KIB = 1024;
const MIB = 1024 * KIB;

const COMPACT_LEVEL = 9;

export function openSegmentStore(options: SegmentStoreOptions): SegmentStore {
  return new SqliteSegmentStore(options);
}

class SqliteSegmentStore implements SegmentStore {
  readonly #dir: string;
  readonly #writing: FlushClient;
  readonly #pool: HandlePool;
  readonly #blocks: BlockSource;
  /** Shards that have no files. Only this process makes any, so it need not ask again and again. */
  readonly #empty = new Set<ShardId>();
  readonly #erasing: Set<ShardId>;
  #isClosed = false;

  constructor(options: SegmentStoreOptions) {
    this.#dir = options.dir;
    this.#pool = new HandlePool(options.readHandlesMax ?? 256);
    this.#blocks = new BlockSource(options.dir, this.#pool, new BlockCache(options.cacheBytesMax ?? 8 * MIB));
    this.#erasing = new Set(erasingShards(options.dir));
    const worker = options.startWorker?.() ?? new Worker(new URL("./flush-worker.ts", import.meta.url));
    const release = (shard: ShardId, files: number[]): void => {
      for (const file of files) this.#blocks.release(shard, file);
    };
    this.#writing = new FlushClient(worker, workerOptions(options), release);
  }

  extent(shard: ShardId): ShardExtent {
    const row = this.#ask(shard, findShard);
    return {
      flushedThrough: (row?.flushed_through ?? 0) as Offset,
      term: (row?.term ?? 0) as Term,
      streamCount: row?.streams ?? 0,
    };
  }

  head(shard: ShardId, stream: string): StreamHead | undefined {
    const row = this.#ask(shard, (state) => findStream(state, stream));
    return row && { streamNo: row.stream_no, headSeq: row.head_seq as Seq };
  }

  streamName(shard: ShardId, streamNo: number): string | undefined {
    return this.#ask(shard, (state) => findStreamByNo(state, streamNo))?.name;
  }

  cell(shard: ShardId, stream: string, key: string): Uint8Array | undefined {
    return this.#ofStream(shard, stream, (state, row) => findCell(state, row.stream_no, key));
  }

  cells(shard: ShardId, stream: string): Map<string, Uint8Array> {
    const rows = this.#ofStream(shard, stream, (state, row) => listCells(state, row.stream_no)) ?? [];
    return new Map(rows.map(({ key, value }) => [key, value]));
  }

  readForward(shard: ShardId, stream: string, after: Seq, limit: number): StoredEntry[] {
    return this.#ofStream(shard, stream, (state, row) => this.#in(shard, state).forward(row, after, limit)) ?? [];
  }

  readLaneForward(shard: ShardId, stream: string, lane: string, after: Seq, limit: number): StoredEntry[] {
    const read = (state: SqlDatabase, row: StreamRow): StoredEntry[] =>
      this.#in(shard, state).laneForward(row, lane, after, limit);
    return this.#ofStream(shard, stream, read) ?? [];
  }

  readLaneBackward(shard: ShardId, stream: string, lane: string, before: Seq, limit: number): StoredEntry[] {
    const read = (state: SqlDatabase, row: StreamRow): StoredEntry[] =>
      this.#in(shard, state).laneBackward(row, lane, before, limit);
    return this.#ofStream(shard, stream, read) ?? [];
  }

  findKey(shard: ShardId, stream: string, key: string): KeyHit | undefined {
    return this.#ofStream(shard, stream, (state, row) => this.#in(shard, state).key(row, key));
  }

  streamsSince(shard: ShardId, offset: Offset): { stream: string; fromSeq: Seq }[] {
    return this.#view(shard, (state) => this.#in(shard, state).streamsSince(offset)) ?? [];
  }

  async flush(job: FlushJob): Promise<void> {
    try {
      if (await this.#writing.flush(job)) this.#erasing.add(job.shard);
    } finally {
      this.#empty.delete(job.shard);
    }
  }

  async erase(shard: ShardId, ranges: EraseRange[], onProgress?: Progress): Promise<void> {
    if (!this.#hasFiles(shard)) return;
    this.#erasing.add(shard);
    await this.#writing.erase(shard, ranges, onProgress);
    this.#erasing.delete(shard);
  }

  pendingErasures(): ShardId[] {
    return [...this.#erasing];
  }

  async compact(shard: ShardId, options: CompactOptions = {}): Promise<CompactReport> {
    if (!this.#hasFiles(shard)) return { filesBefore: 0, filesAfter: 0, bytesBefore: 0, bytesAfter: 0 };
    return this.#writing.compact(shard, options.level ?? COMPACT_LEVEL, options.onProgress);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#writing.close();
    this.#pool.close();
  }

  #in(shard: ShardId, state: SqlDatabase): ShardReader {
    return new ShardReader(shard, state, this.#blocks);
  }

  #ofStream<T>(shard: ShardId, stream: string, ask: (state: SqlDatabase, row: StreamRow) => T): T | undefined {
    return this.#view(shard, (state) => {
      const row = findStream(state, stream);
      return row === undefined ? undefined : ask(state, row);
    });
  }

  /** Asks more than one question in one view of the state; undefined for a shard without data. */
  #view<T>(shard: ShardId, ask: (state: SqlDatabase) => T): T | undefined {
    return this.#ask(shard, (state) => state.within("BEGIN", () => ask(state)));
  }

  #ask<T>(shard: ShardId, ask: (state: SqlDatabase) => T): T | undefined {
    if (this.#isClosed) throw new Error("the segment store is closed");
    const path = statePath(this.#dir, shard);
    let state = this.#pool.touch(path);
    if (state === undefined) {
      if (!this.#hasFiles(shard)) return undefined;
      state = this.#pool.get(path, STATE_FORMAT, "written");
    }
    try {
      return ask(state);
    } catch (error) {
      throw corruptionOr(error, path);
    }
  }

  #hasFiles(shard: ShardId): boolean {
    if (this.#empty.has(shard)) return false;
    if (hasState(this.#dir, shard)) return true;
    this.#empty.add(shard);
    return false;
  }
}

function workerOptions(options: SegmentStoreOptions): WorkerOptions {
  return {
    dir: options.dir,
    segmentBytesMax: options.segmentBytesMax ?? 64 * MIB,
    blockBytesMax: options.blockBytesMax ?? 32 * KIB,
    walBytesMax: options.walBytesMax ?? 4 * MIB,
    writersMax: options.writersMax ?? 32,
    recentItemsMax: options.recentItemsMax ?? 256,
    runEntriesMin: options.runEntriesMin ?? 32,
    packing: options.packing ?? { codec: CODEC_LZ4 },
  };
}
