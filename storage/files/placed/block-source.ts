/** Blocks by their location: from the cache, else from the file that has them, sealed or not. */
import { CorruptionError } from "../../errors.ts";
import type { SqlDatabase } from "../sqlite/database.ts";
import { SEGMENT_FULL, SEGMENT_SEALED, type SegmentRow } from "./state-file.ts";
import { findSegment } from "./state-reader.ts";
import type { ShardId } from "../../types.ts";
import { findRun } from "./block.ts";
import type { BlockCache } from "../sqlite/block-cache.ts";
import { corruptionOr } from "../sqlite/sqlite-errors.ts";
import type { HandlePool } from "../sqlite/handle-pool.ts";
import { segmentPath } from "../sqlite/paths.ts";
import type { Run } from "../../encoding/run.ts";
import { blockAt, readBlock, SEGMENT_FORMAT } from "./segment-file.ts";

export class BlockSource {
  readonly #dir: string;
  readonly #pool: HandlePool;
  readonly #cache: BlockCache;

  constructor(dir: string, pool: HandlePool, cache: BlockCache) {
    this.#dir = dir;
    this.#pool = pool;
    this.#cache = cache;
  }

  /** The run that a block holds of a lane. `state` says it is there; where it is not, that is corruption. */
  run(state: SqlDatabase, shard: ShardId, location: { segment: number; block: number }, lane: number): Run {
    const segment = findSegment(state, location.segment);
    const row = segment.base + location.block;
    const block = this.#cache.get(`${shard}/${segment.file}/${row}`, () => this.#read(state, shard, segment, row));
    const path = segmentPath(this.#dir, shard, segment.file);
    try {
      const run = findRun(block, lane);
      if (run !== undefined) return run;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new CorruptionError(path, blockAt(row), error.message);
    }
    throw new CorruptionError(path, blockAt(row), `lane ${lane} is not in it`);
  }

  /** The file is about to be removed, or sealed. */
  release(shard: ShardId, file: number): void {
    this.#pool.drop(segmentPath(this.#dir, shard, file));
    this.#cache.drop(`${shard}/${file}/`);
  }

  /** A full segment that is not sealed is open only for one call, so that the writer finds a moment to seal it. */
  #read(state: SqlDatabase, shard: ShardId, { file, status }: SegmentRow, block: number): Buffer {
    const path = segmentPath(this.#dir, shard, file);
    this.#pool.touch(state.file);
    try {
      const db = this.#pool.get(path, SEGMENT_FORMAT, status === SEGMENT_SEALED ? "sealed" : "written");
      return readBlock(db, { shard, file, block });
    } catch (error) {
      throw corruptionOr(error, path);
    } finally {
      if (status === SEGMENT_FULL) this.#pool.drop(path);
    }
  }
}
