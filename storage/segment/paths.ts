/** Where the files of a shard are, below the data directory. */
import { join } from "node:path";
import type { ShardId } from "../types.ts";

export function shardDirectory(dir: string, shard: ShardId): string {
  return join(dir, "shards", String(shard).padStart(3, "0"));
}

export function statePath(dir: string, shard: ShardId): string {
  return join(shardDirectory(dir, shard), "state.db");
}

export function segmentPath(dir: string, shard: ShardId, segment: number): string {
  return join(shardDirectory(dir, shard), `segment-${String(segment).padStart(6, "0")}.db`);
}
