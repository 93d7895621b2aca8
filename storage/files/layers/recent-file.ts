/**
 * `recent.db`: the newest layers of all shards of a node, in one file. Flushes of many shards that have little each are
 * one transaction of it, one sync, and a shard has files of its own only once it has something to put there.
 *
 *     shard      flushed_through, term, streams: how far its layers reach. own_through: how far its own files reach beneath them, -1 for none. layers: which there are (page-table.ts)
 *     page       fragments of streams (page-table.ts)
 *     crc        of the row (files/sqlite/row-crc.ts)
 *
 * A shard's layers here count while `flushed_through` is above that of its own `state.db`: when they have moved there,
 * a crash may leave them here, too.
 */
import { CorruptionError } from "../../errors.ts";
import type { BlockCache } from "../sqlite/block-cache.ts";
import type { FileFormat } from "../sqlite/database-file.ts";
import type { SqlDatabase } from "../sqlite/database.ts";
import { checkedRow, checkedRows, rowCrc } from "../sqlite/row-crc.ts";
import { SHARD_COUNT, type ShardId } from "../../types.ts";
import { LayerSource, PAGE_SCHEMA, readStack } from "./page-table.ts";

export const RECENT_FORMAT: FileFormat = {
  name: "file of recent entries",
  /** "PREC" */
  applicationId: 0x50524543,
  version: 1,
  pageBytes: 512,
  schema: `
CREATE TABLE shard(shard INTEGER PRIMARY KEY, flushed_through INT, term INT, streams INT, own_through INT, layers BLOB, crc INT);${PAGE_SCHEMA}`,
};

export type RecentShardRow = {
  shard: number;
  flushed_through: number;
  term: number;
  streams: number;
  own_through: number;
  layers: Uint8Array;
  crc: number;
};

export function findRecentShard(recent: SqlDatabase, shard: ShardId): RecentShardRow | undefined {
  const row = recent.sql("SELECT * FROM shard WHERE shard = ?").get<RecentShardRow>(shard);
  return row && checkedRow(recent, "shard", row);
}

export function listRecentShards(recent: SqlDatabase): RecentShardRow[] {
  return checkedRows(recent, "shard", recent.sql("SELECT * FROM shard ORDER BY shard").all<RecentShardRow>());
}

/** A transaction must be open. */
export function deleteRecentShard(recent: SqlDatabase, shard: ShardId): void {
  recent.sql("DELETE FROM shard WHERE shard = ?").run(shard);
}

/** What the rows of each table are read by. */
const COLUMNS = {
  shard: ["shard", "flushed_through", "term", "streams", "own_through", "layers", "crc"],
  page: ["shard", "layer", "first", "through", "codec", "raw_bytes", "data", "crc"],
};

/**
 * Checksums of rows cover no names of columns: one that was hit would give rows that lack it.
 * @throws CorruptionError
 */
export function checkColumns(recent: SqlDatabase): void {
  for (const [table, columns] of Object.entries(COLUMNS)) {
    const found = recent.sql("SELECT name FROM pragma_table_info(?)").all<{ name: string }>(table);
    const lost = columns.find((column) => !found.some(({ name }) => name === column));
    if (lost !== undefined) throw new CorruptionError(recent.file, `table ${table}`, `its column ${lost} is missing`);
  }
}

/**
 * Shards whose row is not what was written. Of a row whose number was hit, the shard that it fits is meant.
 * @throws CorruptionError for a row that fits none and has the number of none: any shard may lack it
 */
export function damagedRecentShards(recent: SqlDatabase): { shard: ShardId; error: CorruptionError }[] {
  return recent
    .sql("SELECT * FROM shard")
    .all<RecentShardRow>()
    .flatMap((row) => {
      try {
        checkedRow(recent, "shard", row);
        return [];
      } catch (error) {
        if (!(error instanceof CorruptionError)) throw error;
        const shard = shardThatFits(row) ?? row.shard;
        if (shard < 0 || shard >= SHARD_COUNT) throw error;
        return { shard: shard as ShardId, error };
      }
    });
}

function shardThatFits(row: RecentShardRow): ShardId | undefined {
  const { flushed_through, term, streams, own_through, layers, crc } = row;
  for (let shard = 0; shard < SHARD_COUNT; shard++) {
    if (rowCrc("shard", [shard, flushed_through, term, streams, own_through, layers]) === crc) return shard as ShardId;
  }
  return undefined;
}

export function writeRecentShard(recent: SqlDatabase, row: Omit<RecentShardRow, "crc">): void {
  const { shard, flushed_through, term, streams, own_through, layers } = row;
  const values = [shard, flushed_through, term, streams, own_through, layers] as const;
  recent.sql("INSERT OR REPLACE INTO shard VALUES (?, ?, ?, ?, ?, ?, ?)").run(...values, rowCrc("shard", values));
}

/**
 * Its layers, undefined when there are none that count beside a `state.db` that reaches so far; -1 for no such file.
 */
export function recentSource(
  recent: SqlDatabase,
  row: RecentShardRow | undefined,
  stateThrough: number,
  cache: BlockCache,
): LayerSource | undefined {
  if (row === undefined || row.flushed_through <= stateThrough) return undefined;
  const stack = readStack(row.layers);
  return stack.layers.length === 0 ? undefined : new LayerSource(recent, row.shard as ShardId, stack, cache);
}

/**
 * @param stateThrough how far the shard's own files reach, -1 for none
 * @throws CorruptionError when they do not have what lies beneath the layers here: they are gone, or of an earlier
 * moment
 */
export function checkOwn(statePath: string, row: RecentShardRow | undefined, stateThrough: number): void {
  if (row === undefined || row.own_through <= stateThrough) return;
  const ends = stateThrough < 0 ? "it is missing" : `it ends with offset ${stateThrough}`;
  throw new CorruptionError(statePath, "table shard", `${ends}, recent.db goes on from ${row.own_through}`);
}
