/**
 * The layers of a shard in one moment, in `recent.db` and in its own files, as SQLite sees them: beside an open store
 * too. As the store itself does, it begins with `recent.db`: what leaves that is in the shard's own files by then.
 */
import { existsSync } from "node:fs";
import { LayerSource, readStack } from "../files/layers/page-table.ts";
import { findRecentShard, listRecentShards, RECENT_FORMAT, type RecentShardRow } from "../files/layers/recent-file.ts";
import { BlockCache } from "../files/sqlite/block-cache.ts";
import { openForReading } from "../files/sqlite/handle-pool.ts";
import { hasState, recentPath, statePath } from "../files/sqlite/paths.ts";
import type { SqlDatabase } from "../files/sqlite/database.ts";
import { STATE_FORMAT, type ShardRow } from "../files/placed/state-file.ts";
import { findShard } from "../files/placed/state-reader.ts";
import type { ShardId } from "../types.ts";

/** Of each database undefined where it has nothing of the shard. */
export type ShardLayers = {
  state: SqlDatabase | undefined;
  stateRow: ShardRow | undefined;
  recentRow: RecentShardRow | undefined;
  /** Those that count, the older first. */
  sources: LayerSource[];
  /** Layers in `recent.db` that the shard's own files have, too. */
  left: LayerSource | undefined;
};

const CACHE_BYTES = 1 << 20;

/** Asks in one moment of the files. */
export function withShardLayers<T>(directory: string, shard: ShardId, ask: (layers: ShardLayers) => T): T {
  return within(directory, (recent) => {
    const recentRow = recent && findRecentShard(recent, shard);
    if (!hasState(directory, shard)) return ask(layersOf(shard, recent, recentRow, undefined));
    return inMoment(openForReading(statePath(directory, shard), STATE_FORMAT, "written"), (state) =>
      ask(layersOf(shard, recent, recentRow, state)),
    );
  });
}

/** Every shard that `recent.db` has a row of. */
export function recentShards(directory: string): RecentShardRow[] {
  return within(directory, (recent) => (recent === undefined ? [] : listRecentShards(recent)));
}

function within<T>(directory: string, ask: (recent: SqlDatabase | undefined) => T): T {
  const path = recentPath(directory);
  return existsSync(path) ? inMoment(openForReading(path, RECENT_FORMAT, "written"), ask) : ask(undefined);
}

function inMoment<T>(db: SqlDatabase, ask: (db: SqlDatabase) => T): T {
  try {
    return db.within("BEGIN", () => ask(db));
  } finally {
    db.close();
  }
}

function layersOf(
  shard: ShardId,
  recent: SqlDatabase | undefined,
  recentRow: RecentShardRow | undefined,
  state: SqlDatabase | undefined,
): ShardLayers {
  const stateRow = state && findShard(state);
  const cache = new BlockCache(CACHE_BYTES);
  const layers = (db: SqlDatabase | undefined, row: { layers: Uint8Array } | undefined): LayerSource | undefined =>
    db && row && new LayerSource(db, shard, readStack(row.layers), cache);
  const own = layers(state, stateRow);
  const newest = layers(recent, recentRow);
  const counts = (recentRow?.flushed_through ?? -1) > (stateRow?.flushed_through ?? -1);
  const sources = [own, counts ? newest : undefined].filter((source) => source !== undefined);
  return { state, stateRow, recentRow, sources, left: counts ? undefined : newest };
}
