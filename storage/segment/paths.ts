/** Where the files of a shard are, below the data directory. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { CorruptionError } from "../errors.ts";
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

/**
 * Whether the shard has a state; without one it has no data.
 * @throws CorruptionError when there are segments but no state: it is made before them, so somebody took it away.
 */
export function hasState(dir: string, shard: ShardId): boolean {
  const path = statePath(dir, shard);
  if (existsSync(path)) return true;
  const directory = shardDirectory(dir, shard);
  if (!existsSync(directory)) return false;
  const segment = readdirSync(directory).find((name) => /^segment-\d+\.db$/.test(name));
  if (segment === undefined) return false;
  throw new CorruptionError(path, "this name", `shard state is missing, ${segment} is there`);
}
