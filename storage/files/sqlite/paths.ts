/** Where the files of a shard are, below the data directory. Not by `join`, since every read asks. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { CorruptionError } from "../../errors.ts";
import type { ShardId } from "../../types.ts";

export function shardsDirectory(dir: string): string {
  return `${dir}/shards`;
}

/** The newest layers of all shards. */
export function recentPath(dir: string): string {
  return `${shardsDirectory(dir)}/recent.db`;
}

export function shardDirectory(dir: string, shard: ShardId): string {
  return `${shardsDirectory(dir)}/${String(shard).padStart(3, "0")}`;
}

export function statePath(dir: string, shard: ShardId): string {
  return `${shardDirectory(dir, shard)}/state.db`;
}

/** `file` is the number of the file: it differs from the segment's once that was rewritten. */
export function segmentPath(dir: string, shard: ShardId, file: number): string {
  return `${shardDirectory(dir, shard)}/segment-${String(file).padStart(6, "0")}.db`;
}

/**
 * Number of the segment file that this name belongs to: the file itself, or what SQLite or its creation put beside it.
 */
export function segmentFileNo(name: string): number | undefined {
  const found = /^segment-(\d{6,})\.db(-wal|-shm|-journal|\.new)?$/.exec(name);
  return found === null ? undefined : Number(found[1]);
}

/** There while the shard has erased entries in its segments, so that one look into `shards/` finds all such shards. */
export function erasingPath(dir: string, shard: ShardId): string {
  return `${shardsDirectory(dir)}/erasing-${String(shard).padStart(3, "0")}`;
}

/**
 * Whether the shard has a state; without one, all that it has is in `recent.db`.
 * @throws CorruptionError when there are segments but no state: it is made before them, so it was taken away; or
 * when a file is in the place of the directory
 */
export function hasState(dir: string, shard: ShardId): boolean {
  const path = statePath(dir, shard);
  if (existsSync(path)) return true;
  const directory = shardDirectory(dir, shard);
  if (!isDirectory(directory)) return false;
  const segment = readdirSync(directory).find((name) => /^segment-\d+\.db$/.test(name));
  if (segment === undefined) return false;
  throw new CorruptionError(path, "this name", `shard state is missing, ${segment} is there`);
}

/** False where there is nothing. @throws CorruptionError where something else stands */
export function isDirectory(path: string): boolean {
  const look = statSync(path, { throwIfNoEntry: false });
  if (look?.isDirectory() === false) throw new CorruptionError(path, "this name", "it is no directory");
  return look !== undefined;
}

/** Shards that say so themselves. */
export function erasingShards(dir: string): ShardId[] {
  const directory = shardsDirectory(dir);
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => /^erasing-\d{3}$/.test(name))
    .map((name) => Number(name.slice(-3)) as ShardId);
}
