/**
 * `recent.db` by itself: sound as a file, every row's checksum right, every shard's layers there and readable, and no
 * pages that no shard lists. Whether what it has of a shard goes with the shard's own files is asked in
 * verify-shard.ts.
 */
import { relative } from "node:path";
import { RECENT_FORMAT, type RecentShardRow } from "../files/layers/recent-file.ts";
import { hasPositions } from "../files/layers/position-table.ts";
import { recentPath } from "../files/sqlite/paths.ts";
import { SHARD_COUNT, type ShardId } from "../types.ts";
import { type CheckedDatabase, type DatabaseCheck, isSound, openDatabase } from "./verify-database.ts";
import { LayerCheck } from "./verify-layers.ts";
import type { RecentPart } from "./verify-shard.ts";
import { recentSchema, verifyRows } from "./verify-rows.ts";

export type VerifiedRecent = {
  /** Shards that it has, and whose layers can be read; until `close`. */
  parts: Map<ShardId, RecentPart>;
  /** Shards of which nobody can say how far they reach, for what is wrong with this file. */
  isUnknown(shard: ShardId): boolean;
  close(): void;
};

/** @param isDue whether it must be there */
export function verifyRecent(
  directory: string,
  check: DatabaseCheck,
  isThere: boolean,
  isDue: boolean,
): VerifiedRecent {
  const path = recentPath(directory);
  const file = relative(directory, path);
  const recent: VerifiedRecent = { parts: new Map(), isUnknown: () => false, close() {} };
  if (!isThere && !isDue) return recent;
  const opened = openDatabase(check, { path, file, format: RECENT_FORMAT, schema: recentSchema });
  if (opened === undefined) return { ...recent, isUnknown: () => true };
  const unknown = readShards(opened, check, file, recent.parts);
  return { ...recent, isUnknown: (shard) => unknown === "all" || unknown.has(shard), close: () => opened.db.close() };
}

/** @returns shards that are not to be believed */
function readShards(
  { db, fault }: CheckedDatabase,
  check: DatabaseCheck,
  file: string,
  parts: Map<ShardId, RecentPart>,
): Set<ShardId> | "all" {
  if (!isSound(check.findings, () => verifyRows(db, hasPositions(db) ? ["shard", "position"] : ["shard"], fault)))
    return "all";
  const unknown = new Set<ShardId>();
  const layers = new LayerCheck(db, fault);
  for (const row of db.sql("SELECT * FROM shard ORDER BY shard").all<RecentShardRow>()) {
    const shard = row.shard as ShardId;
    const place = `table shard, row ${shard}`;
    if (shard < 0 || shard >= SHARD_COUNT) fault(place, "there is no such shard");
    const source = layers.verify(shard, row.layers, place);
    if (source === undefined) unknown.add(shard);
    else parts.set(shard, { row, source, file });
  }
  layers.finish();
  return unknown;
}
