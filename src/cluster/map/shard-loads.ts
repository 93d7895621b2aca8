/** How heavy each shard is for a plan, in units of the average shard. */
import { SHARD_COUNT, type ShardId } from "../../../storage/types.ts";

/** What a plan balances: the number of shards, their bytes, or both, each half. */
export const BALANCED_BY = ["both", "bytes", "count"] as const;
export type BalancedBy = (typeof BALANCED_BY)[number];

/** A shard without bytes has a small load too, so that empty shards are spread as well. */
const BASE: Record<BalancedBy, number> = { both: 1, bytes: 0.01, count: 1 };

/** @param bytes of each shard, by shard id; absent ones have none */
export function shardLoads(bytes: ReadonlyMap<ShardId, number>, by: BalancedBy): number[] {
  const total = bytes.values().reduce((sum, each) => sum + each, 0);
  const mean = by === "count" || total === 0 ? Infinity : total / SHARD_COUNT;
  return Array.from({ length: SHARD_COUNT }, (_, shard) => BASE[by] + (bytes.get(shard as ShardId) ?? 0) / mean);
}
