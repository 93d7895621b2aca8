/** Blocks by their place: from the cache, else from the segment that has them, sealed or not. */
import type { SqlDatabase } from "../sqlite.ts";
import type { SegmentRow } from "../state/state-file.ts";
import type { Offset, ShardId } from "../types.ts";
import { decodeRun, eachRun, findRun, type Item } from "./block.ts";
import type { BlockCache } from "./block-cache.ts";
import { CorruptionError } from "../errors.ts";
import { corruptionOr } from "./errors.ts";
import type { HandlePool } from "./handle-pool.ts";
import { segmentPath } from "./paths.ts";
import { blockAt, blocksBeyond, readBlock, SEGMENT_FORMAT } from "./segment-file.ts";

export class BlockSource {
  readonly #dir: string;
  readonly #pool: HandlePool;
  readonly #cache: BlockCache;

  constructor(dir: string, pool: HandlePool, cache: BlockCache) {
    this.#dir = dir;
    this.#pool = pool;
    this.#cache = cache;
  }

  /** The items that a block holds of a stream. `state` says they are there; where they are not, that is corruption. */
  run(state: SqlDatabase, shard: ShardId, place: { segment: number; block: number }, streamNo: number): Item[] {
    const block = this.#block(state, shard, place);
    return this.#decoded(shard, place, () => {
      const at = findRun(block, streamNo);
      if (at < 0) throw new RangeError(`stream ${streamNo} is not in it`);
      return decodeRun(block, at);
    });
  }

  /** Items of each stream in the blocks that flushes beyond `offset` wrote. */
  beyond(state: SqlDatabase, shard: ShardId, offset: Offset, visit: (streamNo: number, items: Item[]) => void): void {
    const segments = state.sql("SELECT segment, blocks, sealed FROM segment ORDER BY segment DESC").all<SegmentRow>();
    for (const row of segments) {
      const blocks = this.#inSegment(state, shard, row.segment, (db) => blocksBeyond(db, row.blocks, offset));
      for (const block of blocks) this.#visitRuns(state, shard, { segment: row.segment, block }, visit);
      if (blocks.length < row.blocks) return;
    }
  }

  #visitRuns(
    state: SqlDatabase,
    shard: ShardId,
    place: { segment: number; block: number },
    visit: (streamNo: number, items: Item[]) => void,
  ): void {
    const block = this.#block(state, shard, place);
    this.#decoded(shard, place, () => eachRun(block, (streamNo, at) => visit(streamNo, decodeRun(block, at))));
  }

  #block(state: SqlDatabase, shard: ShardId, { segment, block }: { segment: number; block: number }): Buffer {
    return this.#cache.get(`${shard}/${segment}/${block}`, () =>
      this.#inSegment(state, shard, segment, (db) => readBlock(db, { shard, segment, block })),
    );
  }

  /** A segment left behind but not sealed is open only for one call, so that the writer finds a moment to seal it. */
  #inSegment<T>(state: SqlDatabase, shard: ShardId, segment: number, read: (db: SqlDatabase) => T): T {
    const path = segmentPath(this.#dir, shard, segment);
    const row = state
      .sql("SELECT sealed, segment = (SELECT max(segment) FROM segment) AS active FROM segment WHERE segment = ?")
      .get<{ sealed: number; active: number }>(segment);
    if (row === undefined) throw new CorruptionError(state.file, "table segment", `segment ${segment} is not listed`);
    const isLeftBehind = row.sealed === 0 && row.active === 0;
    this.#pool.touch(state.file);
    try {
      return read(this.#pool.get(path, SEGMENT_FORMAT, row.sealed === 1 ? "sealed" : "written"));
    } catch (error) {
      throw corruptionOr(error, path);
    } finally {
      if (isLeftBehind) this.#pool.drop(path);
    }
  }

  #decoded<T>(shard: ShardId, place: { segment: number; block: number }, decode: () => T): T {
    try {
      return decode();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new CorruptionError(segmentPath(this.#dir, shard, place.segment), blockAt(place.block), error.message);
    }
  }
}
