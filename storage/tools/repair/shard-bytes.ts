/** Counts the bytes of shards' own files while the shards are worked on one after the other. */
import type { ShardId } from "../../types.ts";
import { listFiles } from "../inventory.ts";
import { shardOfPath } from "../verify-files.ts";

export class ShardBytes {
  readonly #of = new Map<ShardId, number>();
  readonly #tell: (done: number, total: number) => void;
  readonly #total: number;
  #done = 0;

  /** The sizes are those of now: rebuilding a shard replaces its files. */
  constructor(root: string, shards: Iterable<ShardId>, tell: (done: number, total: number) => void) {
    this.#tell = tell;
    const wanted = new Set(shards);
    let total = 0;
    for (const { path, size } of listFiles(root)) {
      const shard = shardOfPath(path);
      if (shard === undefined || !wanted.has(shard)) continue;
      this.#of.set(shard, (this.#of.get(shard) ?? 0) + size);
      total += size;
    }
    this.#total = total;
    tell(0, total);
  }

  did(shard: ShardId): void {
    this.#tell((this.#done += this.#of.get(shard) ?? 0), this.#total);
  }
}
