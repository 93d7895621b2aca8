/**
 * Cells as files have them, for those that are asked for with every call, such as a device of the caller. The newest
 * that were asked for, of all shards.
 *
 * Invariant: cells change in files only with a flush, or when a shard's files are replaced. Until the end of a flush is
 * known, what it brings may be there or not, so files are asked meanwhile.
 */
import type { ShardId } from "../types.ts";

type Known = { change: number; value: Uint8Array | undefined };

const CELLS_MAX = 1024;
/** A larger one is not kept. */
const VALUE_BYTES_MAX = 256;

export class CellCache {
  /** The one that was asked for last comes last. */
  readonly #known = new Map<string, Known>();
  /** How often a shard's files have changed. */
  readonly #changes = new Map<ShardId, number>();
  readonly #changing = new Set<ShardId>();

  get(shard: ShardId, stream: string, name: string, read: () => Uint8Array | undefined): Uint8Array | undefined {
    if (this.#changing.has(shard)) return read();
    const key = `${shard} ${stream} ${name}`;
    const change = this.#changes.get(shard) ?? 0;
    const known = this.#known.get(key);
    if (known !== undefined) this.#known.delete(key);
    if (known?.change === change) {
      this.#known.set(key, known);
      return known.value;
    }
    const value = read();
    if (value !== undefined && value.length > VALUE_BYTES_MAX) return value;
    // A copy: what was read is a view of a page.
    this.#known.set(key, { change, value: value && new Uint8Array(value) });
    if (this.#known.size > CELLS_MAX) this.#forgetOldest();
    return value;
  }

  /** Files of the shard change at some moment before `changed`. */
  changing(shard: ShardId): void {
    this.#changing.add(shard);
  }

  /** Files of the shard have changed. */
  changed(shard: ShardId): void {
    this.#changing.delete(shard);
    this.#changes.set(shard, (this.#changes.get(shard) ?? 0) + 1);
  }

  #forgetOldest(): void {
    for (const key of this.#known.keys()) return void this.#known.delete(key);
  }
}
