/**
 * Shards that other files are taking the place of, as `shards/NNN.placed`: whole, checked and durable. From the moment
 * that it has this name it counts, and what is at `shards/NNN` is of the past.
 */
import * as fs from "node:fs";
import { shardDirectory, shardsDirectory } from "./sqlite/paths.ts";
import type { ShardId } from "../types.ts";

const PLACED = /^(\d{3})\.placed$/;

export const placedPath = (directory: string, shard: ShardId): string => `${shardDirectory(directory, shard)}.placed`;

/** Brings it to its place. A crash in the middle is made good by `finishPlacing`. */
export function putPlaced(directory: string, shard: ShardId): void {
  const place = shardDirectory(directory, shard);
  fs.rmSync(place, { recursive: true, force: true });
  fs.renameSync(placedPath(directory, shard), place);
  syncDirectory(shardsDirectory(directory));
}

/** Before a store is opened: goes on where a crash has cut off. */
export function finishPlacing(directory: string): void {
  const shards = shardsDirectory(directory);
  if (!fs.existsSync(shards)) return;
  for (const name of fs.readdirSync(shards)) {
    const shard = PLACED.exec(name)?.[1];
    if (shard !== undefined) putPlaced(directory, Number(shard) as ShardId);
  }
}

function syncDirectory(path: string): void {
  const directory = fs.openSync(path, "r");
  try {
    fs.fsyncSync(directory);
  } finally {
    fs.closeSync(directory);
  }
}
