/** How much each shard has, on disk and in memory: what a move would copy. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { ShardId } from "../../../storage/types.ts";
import type { ShardHost } from "../shard-host.ts";

/** Bytes by shard; shards without any are left out. */
export function shardSizes(directory: string, host: ShardHost, shards: readonly ShardId[]): Record<number, number> {
  const sizes: Record<number, number> = {};
  const owned = new Set(shards);
  for (const log of host.store.opened()) if (owned.has(log.shard)) sizes[log.shard] = log.memtable.bytes;
  for (const shard of shards) {
    const bytes = directoryBytes(join(directory, "shards", String(shard).padStart(3, "0")));
    if (bytes > 0) sizes[shard] = (sizes[shard] ?? 0) + bytes;
  }
  return sizes;
}

function directoryBytes(path: string): number {
  try {
    return readdirSync(path).reduce(
      (sum, name) => sum + (statSync(join(path, name), { throwIfNoEntry: false })?.size ?? 0),
      0,
    );
  } catch {
    return 0;
  }
}
