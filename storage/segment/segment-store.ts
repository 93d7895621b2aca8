/**
 * The segment side of the log store: what was flushed of each shard, in SQLite, under `DIR/shards/NNN/`.
 *
 * Reads are synchronous, on the caller's thread; writes happen in one worker. A reader never waits for the writer: files that are written to
 * are in WAL mode. It does not know what was not flushed yet, and does not lock the directory: one process at a time, the caller sees to it.
 * A shard without data has no files, and asking about it makes none.
 */
import type { SqlDatabase } from "../sqlite.ts";
import { STATE_FORMAT } from "../state/state-file.ts";
import { findCell, findShard, findStream, findStreamName, listCells } from "../state/state-reader.ts";
import type { KeyHit, Offset, Seq, ShardId, StoredEntry, StreamHead, Term } from "../types.ts";
import { BlockCache } from "./block-cache.ts";
import { BlockSource } from "./block-source.ts";
import { corruptionOr } from "./errors.ts";
import { FlushClient } from "./flush-client.ts";
import { HandlePool } from "./handle-pool.ts";
import { hasState, segmentPath, statePath } from "./paths.ts";
import { ShardReader } from "./shard-reader.ts";
import type { FlushJob, SegmentStore, ShardExtent } from "./types.ts";

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
  /** For tests that need a worker that fails. */
  startWorker?: () => Worker;
};

const KIB = 1024;
const MIB = 1024 * KIB;

export function openSegmentStore(options: SegmentStoreOptions): SegmentStore {
  const worker = options.startWorker?.() ?? new Worker(new URL("./flush-worker.ts", import.meta.url));
  const writing = new FlushClient(worker, {
    dir: options.dir,
    segmentBytesMax: options.segmentBytesMax ?? 64 * MIB,
    blockBytesMax: options.blockBytesMax ?? 32 * KIB,
    walBytesMax: options.walBytesMax ?? 4 * MIB,
    writersMax: options.writersMax ?? 32,
  });
  return new SqliteSegmentStore(options.dir, writing, {
    pool: new HandlePool(options.readHandlesMax ?? 256),
    cache: new BlockCache(options.cacheBytesMax ?? 8 * MIB),
  });
}

class SqliteSegmentStore implements SegmentStore {
  readonly #dir: string;
  readonly #writing: FlushClient;
  readonly #pool: HandlePool;
  readonly #blocks: BlockSource;
  #isClosed = false;

  constructor(dir: string, writing: FlushClient, { pool, cache }: { pool: HandlePool; cache: BlockCache }) {
    this.#dir = dir;
    this.#writing = writing;
    this.#pool = pool;
    this.#blocks = new BlockSource(dir, pool, cache);
  }

  extent(shard: ShardId): ShardExtent {
    const row = this.#read(shard, findShard);
    return {
      flushedThrough: (row?.flushed_through ?? 0) as Offset,
      term: (row?.term ?? 0) as Term,
      streamCount: row?.streams ?? 0,
    };
  }

  head(shard: ShardId, stream: string): StreamHead | undefined {
    return this.#read(shard, (state) => findStream(state, stream));
  }

  streamName(shard: ShardId, streamNo: number): string | undefined {
    return this.#read(shard, (state) => findStreamName(state, streamNo));
  }

  cell(shard: ShardId, stream: string, key: string): Uint8Array | undefined {
    return this.#ofStream(shard, stream, (state, streamNo) => findCell(state, streamNo, key));
  }

  cells(shard: ShardId, stream: string): Map<string, Uint8Array> {
    const rows = this.#ofStream(shard, stream, listCells) ?? [];
    return new Map(rows.map(({ key, value }) => [key, value]));
  }

  readForward(shard: ShardId, stream: string, after: Seq, limit: number): StoredEntry[] {
    return this.#ofStream(shard, stream, (state, no) => this.#in(shard, state).forward(no, after, limit)) ?? [];
  }

  readLaneForward(shard: ShardId, stream: string, lane: string, after: Seq, limit: number): StoredEntry[] {
    return (
      this.#ofStream(shard, stream, (state, no) => this.#in(shard, state).laneForward(no, lane, after, limit)) ?? []
    );
  }

  readLaneBackward(shard: ShardId, stream: string, lane: string, before: Seq, limit: number): StoredEntry[] {
    return (
      this.#ofStream(shard, stream, (state, no) => this.#in(shard, state).laneBackward(no, lane, before, limit)) ?? []
    );
  }

  findKey(shard: ShardId, stream: string, key: string): KeyHit | undefined {
    return this.#ofStream(shard, stream, (state, no) => this.#in(shard, state).key(no, key));
  }

  streamsSince(shard: ShardId, offset: Offset): { stream: string; fromSeq: Seq }[] {
    return this.#read(shard, (state) => this.#in(shard, state).streamsSince(offset)) ?? [];
  }

  async flush(job: FlushJob): Promise<void> {
    const { shard } = job;
    for (const segment of await this.#writing.flush(job)) this.#pool.drop(segmentPath(this.#dir, shard, segment));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#writing.close();
    this.#pool.close();
  }

  #in(shard: ShardId, state: SqlDatabase): ShardReader {
    return new ShardReader(shard, state, this.#blocks);
  }

  #ofStream<T>(shard: ShardId, stream: string, ask: (state: SqlDatabase, streamNo: number) => T): T | undefined {
    return this.#read(shard, (state) => {
      const head = findStream(state, stream);
      return head === undefined ? undefined : ask(state, head.streamNo);
    });
  }

  /** Asks in one view of the state; undefined for a shard without data. */
  #read<T>(shard: ShardId, ask: (state: SqlDatabase) => T): T | undefined {
    if (this.#isClosed) throw new Error("the segment store is closed");
    const path = statePath(this.#dir, shard);
    if (this.#pool.touch(path) === undefined && !hasState(this.#dir, shard)) return undefined;
    const state = this.#pool.get(path, STATE_FORMAT, "written");
    try {
      return state.within("BEGIN", () => ask(state));
    } catch (error) {
      throw corruptionOr(error, path);
    }
  }
}
