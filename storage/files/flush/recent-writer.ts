/**
 * The writing side of `recent.db`. Everything takes effect at the end of a transaction, in which flushes of many shards
 * may be.
 *
 * Runs in the flush worker. After an error of SQLite it must be dropped: `abandon`.
 */
import { BlockCache } from "../sqlite/block-cache.ts";
import type { Packing } from "../../encoding/packing.ts";
import { createDirectory } from "../sqlite/database-file.ts";
import type { FlushImage } from "./flush-image.ts";
import { recentPath, shardsDirectory } from "../sqlite/paths.ts";
import type { FlushJob } from "../segment-store.ts";
import { fold, leaveWal, openForWriting } from "../sqlite/written-file.ts";
import type { SqlDatabase } from "../sqlite/database.ts";
import type { EraseRange, ShardId } from "../../types.ts";
import { ErasedRanges } from "../layers/erased-ranges.ts";
import { emptyReach } from "../layers/fragment.ts";
import { type Addition, LayerScratch, putLayer } from "../layers/layer-merge.ts";
import { sizeOf } from "../layers/piece.ts";
import {
  deleteLayer,
  LayerSource,
  type LayerStack,
  NO_LAYERS,
  pageBytes,
  readStack,
  writeStack,
} from "../layers/page-table.ts";
import { Streams } from "../layers/layered-stream.ts";
import { writePosition } from "../layers/position-table.ts";
import {
  deleteRecentShard,
  findRecentShard,
  RECENT_FORMAT,
  type RecentShardRow,
  recentSource,
  writeRecentShard,
} from "../layers/recent-file.ts";

export type RecentOptions = {
  dir: string;
  /** Raw bytes that a shard has here at most; more goes to its own files. */
  recentBytesMax: number;
  /**
   * SQLite's write-ahead file, when larger than this, is folded into the database: what is merged often is then written
   * there less often.
   */
  recentWalBytesMax: number;
  /** As in `SegmentStoreOptions`. */
  keepsPositions: boolean;
};

const CACHE_BYTES = 4 << 20;
/** Free pages, as a part of the file, from which on it is written anew when it is closed: it is small. */
const FREE_PART = 1 / 32;

export class RecentWriter {
  readonly #options: RecentOptions;
  readonly #cache = new BlockCache(CACHE_BYTES);
  readonly #scratch = new LayerScratch();
  #db: SqlDatabase | undefined;

  constructor(options: RecentOptions) {
    this.#options = options;
  }

  open(): SqlDatabase {
    if (this.#db !== undefined) return this.#db;
    createDirectory(shardsDirectory(this.#options.dir));
    this.#db = openForWriting(recentPath(this.#options.dir), RECENT_FORMAT, true);
    // What was merged or moved is to be gone: erasing then has nothing to look for.
    this.#db.pragma("secure_delete = ON");
    return this.#db;
  }

  row(shard: ShardId): RecentShardRow | undefined {
    return findRecentShard(this.open(), shard);
  }

  /** Its layers that are not in its `state.db`, which reaches to `stateThrough`. */
  source(shard: ShardId, stateThrough: number): LayerSource | undefined {
    return recentSource(this.open(), this.row(shard), stateThrough, this.#cache);
  }

  /** Whether a `state.db` that reaches to `stateThrough` has more of the shard than this, or what is here, too. */
  isBehind(shard: ShardId, stateThrough: number): boolean {
    const row = this.row(shard);
    if (row === undefined || row.flushed_through < stateThrough) return true;
    return row.flushed_through === stateThrough && readStack(row.layers).layers.length > 0;
  }

  /** What the shard takes here, packed. */
  bytes(shard: ShardId): number {
    return pageBytes(this.open(), shard);
  }

  /** All that is done within is there at its end, or nothing of it. */
  within<T>(work: () => T): T {
    return this.open().within("BEGIN IMMEDIATE", work);
  }

  /** Lets a part of a transaction fail by itself. */
  part(work: () => void): void {
    const db = this.open();
    db.sql("SAVEPOINT part").run();
    try {
      work();
      db.sql("RELEASE part").run();
    } catch (error) {
      // Numbers of layers that were not committed are given out again.
      this.#cache.drop("");
      if (db.inTransaction) {
        db.sql("ROLLBACK TO part").run();
        db.sql("RELEASE part").run();
      }
      throw error;
    }
  }

  /** Whether the shard can have this here as well. */
  hasRoom(shard: ShardId, image: FlushImage): boolean {
    const row = this.row(shard);
    const there = row === undefined ? [] : readStack(row.layers).layers;
    return there.reduce((sum, layer) => sum + layer.rawBytes, imageBytes(image)) <= this.#options.recentBytesMax;
  }

  /**
   * Puts a layer with the job's items and cells on top. What the job erases of older entries is taken out of the layers
   * that are here.
   * @param stateThrough how far the shard's own files reach, -1 for none
   * @throws RangeError when the job is not what its type promises
   */
  put(job: FlushJob, image: FlushImage, stateThrough: number, packing: Packing): void {
    const { shard, term, throughOffset } = job;
    const row = this.row(shard);
    const into = this.#layersOf(shard, row);
    const additions = additionsOf(job, image);
    const isBottom = stateThrough < 0;
    const stack = this.#putLayer(into, additions, this.#erasedIn(into, image.erasures), isBottom, packing);
    const streams = additions.reduce((most, { reach }) => Math.max(most, reach.streamNo), row?.streams ?? 0);
    const reach = { shard, flushed_through: throughOffset, term, streams, own_through: stateThrough };
    writeRecentShard(this.open(), { ...reach, layers: writeStack(stack) });
  }

  /** Makes entries of a shard that is here alone tombstones. */
  erase(shard: ShardId, ranges: readonly EraseRange[], packing: Packing): void {
    const row = this.row(shard);
    const into = this.#layersOf(shard, row);
    const erased = this.#erasedIn(into, ranges);
    if (row === undefined || erased.isEmpty) return;
    const stack = this.#putLayer(into, [], erased, true, packing);
    writeRecentShard(this.open(), { ...row, layers: writeStack(stack) });
  }

  /** Whether any of these entries is here. */
  has(shard: ShardId, ranges: readonly EraseRange[]): boolean {
    return ranges.length > 0 && !this.#erasedIn(this.#layersOf(shard, this.row(shard)), ranges).isEmpty;
  }

  #layersOf(shard: ShardId, row: RecentShardRow | undefined): LayerSource {
    return new LayerSource(this.open(), shard, row === undefined ? NO_LAYERS : readStack(row.layers), this.#cache);
  }

  /** What comes later is not meant. */
  #erasedIn(into: LayerSource, ranges: readonly EraseRange[]): ErasedRanges {
    const erased = new ErasedRanges();
    const streams = new Streams([into]);
    for (const range of ranges) {
      const head = streams.find(range.stream)?.reach.headSeq ?? 0;
      if (range.fromSeq <= head) erased.add({ ...range, toSeq: Math.min(range.toSeq, head) });
    }
    return erased;
  }

  #putLayer(
    into: LayerSource,
    additions: Addition[],
    erased: ErasedRanges,
    isBottom: boolean,
    packing: Packing,
    isWhole = !erased.isEmpty,
  ): LayerStack {
    const scratch = this.#scratch;
    return putLayer({ into, additions, isWhole, erased: (name) => erased.of(name), isBottom, packing, scratch });
  }

  /** All layers of the shard become one, packed so. Its row stays as it is otherwise. */
  compact(shard: ShardId, packing: Packing): void {
    const row = this.row(shard);
    const into = row && recentSource(this.open(), row, -1, this.#cache);
    if (row === undefined || into === undefined) return;
    const stack = this.#putLayer(into, [], new ErasedRanges(), true, packing, true);
    writeRecentShard(this.open(), { ...row, layers: writeStack(stack) });
  }

  /** How far the log was flushed with this job, for logs that begin there. */
  notePosition({ shard, throughOffset, throughPosition }: FlushJob): void {
    if (this.#options.keepsPositions && throughPosition !== undefined)
      writePosition(this.open(), shard, throughOffset, throughPosition);
  }

  /** Its layers are in its `state.db`. */
  clear(shard: ShardId, through: number, term: number, streams: number): void {
    const db = this.open();
    const row = this.row(shard);
    const stack = row === undefined ? NO_LAYERS : readStack(row.layers);
    for (const layer of stack.layers) deleteLayer(db, shard, layer);
    const layers = writeStack({ next: stack.next, layers: [] });
    writeRecentShard(db, { shard, flushed_through: through, term, streams, own_through: through, layers });
  }

  /** As if it had never been here. Its own files have all of it. */
  forget(shard: ShardId): void {
    const db = this.open();
    const row = this.row(shard);
    if (row === undefined) return;
    for (const layer of readStack(row.layers).layers) deleteLayer(db, shard, layer);
    deleteRecentShard(db, shard);
  }

  foldLarge(): void {
    if (this.#db !== undefined) fold(this.#db, this.#options.recentWalBytesMax);
  }

  /** Nothing is left in the write-ahead file. @throws while it is being read */
  emptyWal(): void {
    const db = this.open();
    if (db.pragma("wal_checkpoint(TRUNCATE)") === 0) return;
    throw new Error(`${db.file}: its write-ahead file is being read and cannot be emptied now; erase again`);
  }

  close(): void {
    const db = this.#db;
    if (db === undefined) return;
    try {
      const free = db.pragma("freelist_count") as number;
      if (free > FREE_PART * (db.pragma("page_count") as number)) db.exec("VACUUM");
    } catch {
      // It only makes the file smaller: a full disk must not prevent closing.
    }
    fold(db);
    leaveWal(db);
    this.abandon();
  }

  abandon(): void {
    this.#cache.drop("");
    this.#db?.close();
    this.#db = undefined;
  }
}

/** What it takes in layers, about. */
function imageBytes({ batches, cells }: FlushImage): number {
  let bytes = 0;
  for (const { items } of batches) bytes += sizeOf(items).bytes;
  for (const changes of cells.values()) for (const [key, value] of changes) bytes += key.length + (value?.length ?? 0);
  return bytes;
}

/** @throws RangeError when seqs of a stream are not dense, or end elsewhere than the job says. */
function additionsOf({ shard, streams }: FlushJob, { batches, cells }: FlushImage): Addition[] {
  const heads = new Map(streams.map(({ name, headSeq }) => [name, headSeq]));
  return batches.map(({ name, streamNo, items }): Addition => {
    const reach = { ...emptyReach(name, streamNo), headSeq: heads.get(name)! as number };
    const entries = items.filter(({ alone }) => !alone);
    entries.forEach(({ seq }, at) => {
      const expected = reach.headSeq - entries.length + 1 + at;
      if (seq !== expected) throw new RangeError(`shard ${shard}: ${name} has seq ${seq} where ${expected} is due`);
    });
    reach.headOffset = entries.at(-1)?.offset ?? 0;
    return { reach, items, cells: cells.get(name) ?? new Map() };
  });
}
