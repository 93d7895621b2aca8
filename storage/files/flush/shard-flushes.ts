/**
 * Where a flush goes: what a shard has little of stays in `recent.db`, many shards in one transaction; what is much
 * goes to the shard's own files, and takes along what `recent.db` had.
 *
 *   1. `state.db` of each shard that has much     a crash after it leaves layers in `recent.db` that count no more,
 *                                                 since `state.db` reaches as far
 *   2. `recent.db`, for all shards                from here on the flushes are there
 *
 * Invariant: the writer of `recent.db` puts nothing on layers that do not count; so a shard's own files are looked at
 * once before its first flush.
 */
import { existsSync } from "node:fs";
import { checkOwn } from "../layers/recent-file.ts";
import type { RecentWriter } from "./recent-writer.ts";
import type { EraseRange, Offset, ShardId } from "../../types.ts";
import { type FlushImage, readFlushImage } from "./flush-image.ts";
import { KnownNames } from "../../encoding/known-names.ts";
import { CODEC_ZSTD, type Packing } from "../../encoding/packing.ts";
import { createMarker } from "../sqlite/database-file.ts";
import { openForReading } from "../sqlite/handle-pool.ts";
import { erasingPath, hasState, statePath } from "../sqlite/paths.ts";
import type { FlushJob } from "../segment-store.ts";
import type { WriterSet } from "./writer-set.ts";
import { type ShardRow, STATE_FORMAT } from "../placed/state-file.ts";
import { findShard } from "../placed/state-reader.ts";

/** How far a shard is flushed. `stateThrough`: by its own files, -1 where it has none. */
type Reach = { flushed_through: number; term: number; streams: number; stateThrough: number };
export type Flushed = { unsealed: number[]; isErasing: boolean };

export class ShardFlushes {
  readonly #dir: string;
  readonly #writers: WriterSet;
  readonly #recent: RecentWriter;
  readonly #packing: Packing;
  /** How far each shard's own files reach, -1 for none; asked once. */
  readonly #stateThrough = new Map<ShardId, number>();
  readonly #names = new KnownNames();

  constructor(dir: string, writers: WriterSet, recent: RecentWriter, packing: Packing) {
    this.#dir = dir;
    this.#writers = writers;
    this.#recent = recent;
    this.#packing = packing;
  }

  /** Does something with several shards at once; takes effect when it returns. What it throws concerns all of them. */
  together<T>(work: () => T): T {
    try {
      const result = this.#recent.within(work);
      this.#recent.foldLarge();
      return result;
    } catch (error) {
      this.#recent.abandon();
      this.#stateThrough.clear();
      throw error;
    }
  }

  /** Within `together`. @throws what concerns this flush alone */
  flush(job: FlushJob): Flushed {
    const reach = this.#reach(job.shard);
    checkProgress(job, reach);
    const image = readFlushImage(job, reach.flushed_through as Offset, this.#names);
    const mayErase = image.erasures.length === 0 || reach.stateThrough < 0;
    const isSmall = mayErase && this.#recent.hasRoom(job.shard, image);
    if (!isSmall || job.throughOffset <= reach.stateThrough) return this.#toState(job, image, reach);
    const isErasing = this.#noteErasing(job.shard, image.erasures);
    this.#recent.part(() => {
      this.#recent.put(job, image, reach.stateThrough, this.#packing);
      this.#recent.notePosition(job);
    });
    return { unsealed: [], isErasing };
  }

  /**
   * Within `together`: makes flushed entries tombstones for every reader, and removes those that are not in segments.
   * @returns whether the shard has files of its own, with segments perhaps that have to be written anew
   */
  erase(shard: ShardId, ranges: readonly EraseRange[]): boolean {
    if (this.#reach(shard).stateThrough >= 0) {
      this.spill(shard, ranges);
      return true;
    }
    this.#noteErasing(shard, ranges);
    this.#recent.part(() => this.#recent.erase(shard, ranges, this.#packing));
    return false;
  }

  /** Within `together`: the shard's own files have all of it, the entries in these ranges as tombstones. */
  spill(shard: ShardId, ranges: readonly EraseRange[], level?: number): void {
    const reach = this.#reach(shard);
    const carried = this.#recent.source(shard, reach.stateThrough);
    this.#stateThrough.delete(shard);
    this.#writers.use(shard, (writer) => writer.spill(ranges, carried, reach, level));
    this.#spilled(shard, reach.flushed_through, reach.term);
  }

  /**
   * Within `together`: the shard's own files have all of it, and `recent.db` knows nothing of it, so that other files
   * may take their place.
   */
  letGo(shard: ShardId): void {
    if (this.#recent.row(shard) !== undefined) {
      this.spill(shard, []);
      this.#recent.part(() => this.#recent.forget(shard));
    }
    this.#stateThrough.delete(shard);
  }

  /**
   * Within `together`: layers of the shard become one, packed with this zstd level, wherever they are. Tells what they
   * took and take.
   */
  compact(shard: ShardId, level: number): { bytesBefore: number; bytesAfter: number } {
    const isOwn = this.#reach(shard).stateThrough >= 0;
    const bytesBefore = this.layerBytes(shard);
    if (isOwn) this.spill(shard, [], level);
    else this.#recent.compact(shard, { codec: CODEC_ZSTD, level });
    return { bytesBefore, bytesAfter: this.layerBytes(shard) };
  }

  /** What the layers of the shard take, packed, in both places. */
  layerBytes(shard: ShardId): number {
    const own = hasState(this.#dir, shard) ? this.#writers.use(shard, (writer) => writer.layerBytes) : 0;
    return own + this.#recent.bytes(shard);
  }

  #toState(job: FlushJob, image: FlushImage, { stateThrough }: Reach): Flushed {
    const { shard, throughOffset, term } = job;
    const carried = this.#recent.source(shard, stateThrough);
    this.#stateThrough.delete(shard);
    const flushed = this.#writers.use(shard, (writer) => writer.flush(job, image, carried));
    this.#spilled(shard, throughOffset, term);
    this.#recent.part(() => this.#recent.notePosition(job));
    return flushed;
  }

  #spilled(shard: ShardId, through: number, term: number): void {
    const streams = this.#writers.use(shard, (writer) => writer.row.streams);
    this.#recent.part(() => this.#recent.clear(shard, through, term, streams));
    this.#stateThrough.set(shard, through);
  }

  #reach(shard: ShardId): Reach {
    const stateThrough = this.#stateThrough.get(shard) ?? this.#lookAtState(shard);
    const row = this.#recent.row(shard);
    const { flushed_through = 0, term = 0, streams = 0 } = row ?? {};
    return { flushed_through, term, streams, stateThrough };
  }

  /** Durable before the erasure is, so that it is finished after a crash. */
  #noteErasing(shard: ShardId, ranges: readonly EraseRange[]): boolean {
    const isErasing = this.#recent.has(shard, ranges);
    const path = erasingPath(this.#dir, shard);
    if (isErasing && !existsSync(path)) createMarker(path);
    return isErasing;
  }

  /** What `recent.db` says of the shard is brought up to what its own files say. */
  #lookAtState(shard: ShardId): number {
    let through = -1;
    if (hasState(this.#dir, shard)) {
      const row = rowOfState(statePath(this.#dir, shard));
      through = row?.flushed_through ?? 0;
      if (this.#recent.isBehind(shard, through))
        this.#recent.part(() => this.#recent.clear(shard, through, row?.term ?? 0, row?.streams ?? 0));
    }
    checkOwn(statePath(this.#dir, shard), this.#recent.row(shard), through);
    this.#stateThrough.set(shard, through);
    return through;
  }
}

/** Without opening the file for writing, which costs syncs. Undefined while nothing was committed to it. */
function rowOfState(path: string): ShardRow | undefined {
  const state = openForReading(path, STATE_FORMAT, "written");
  try {
    return findShard(state);
  } finally {
    state.close();
  }
}

/** @throws RangeError when the job does not follow what is there */
function checkProgress({ shard, throughOffset, term }: FlushJob, reach: Reach): void {
  if (throughOffset < reach.flushed_through) {
    throw new RangeError(`shard ${shard}: flush through ${throughOffset}, but ${reach.flushed_through} is flushed`);
  }
  if (term < reach.term)
    throw new RangeError(`shard ${shard}: flush of term ${term}, but term ${reach.term} has flushed`);
}
