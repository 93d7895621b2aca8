/**
 * The shards open for writing: at most `max`, least recently used closed first. A writer that failed is closed as it is
 * and opened anew by what its shard has next. A shard that is being rewritten stays open: opening it again would take
 * the unfinished file for a leftover.
 */
import type { ShardId } from "../../types.ts";
import { ShardWriter, type WriterOptions } from "./shard-writer.ts";

export class WriterSet {
  readonly #options: WriterOptions;
  readonly #max: number;
  /** Least recently used first. */
  readonly #writers = new Map<ShardId, ShardWriter>();
  #pinned: ShardId | undefined;

  constructor(options: WriterOptions, max: number) {
    this.#options = options;
    this.#max = max;
  }

  /** Does something with the writer of a shard. */
  use<T>(shard: ShardId, work: (writer: ShardWriter) => T): T {
    const writer = this.#writers.get(shard) ?? new ShardWriter(shard, this.#options);
    this.#writers.delete(shard);
    try {
      const result = work(writer);
      this.#writers.set(shard, writer);
      this.#closeOldest(this.#max);
      return result;
    } catch (error) {
      writer.abandon();
      throw error;
    }
  }

  /** Whether this is still the writer of its shard: none since has failed. */
  isCurrent(shard: ShardId, writer: ShardWriter): boolean {
    return this.#writers.get(shard) === writer;
  }

  /** The one shard that stays open; undefined for none. */
  pin(shard: ShardId | undefined): void {
    this.#pinned = shard;
  }

  /** @throws Error while the shard is being rewritten */
  closeOne(shard: ShardId): void {
    if (shard === this.#pinned) throw new Error(`shard ${shard} is being rewritten; try again later`);
    const writer = this.#writers.get(shard);
    this.#writers.delete(shard);
    writer?.close();
  }

  drop(shard: ShardId): void {
    this.#writers.get(shard)?.abandon();
    this.#writers.delete(shard);
  }

  close(): void {
    this.#pinned = undefined;
    this.#closeOldest(0);
  }

  /** All of them, as they are. */
  abandon(): void {
    for (const shard of [...this.#writers.keys()]) this.drop(shard);
  }

  #closeOldest(max: number): void {
    for (const [shard, writer] of this.#writers) {
      if (this.#writers.size <= max) return;
      if (shard === this.#pinned) continue;
      this.#writers.delete(shard);
      writer.close();
    }
  }
}
