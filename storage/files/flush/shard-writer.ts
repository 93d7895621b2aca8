/**
 * The writing side of one shard's own files: what it has becomes theirs in two transactions, each synced, in this
 * order.
 *
 *   1. the active segment: insert the blocks, if there are any.       A crash after it leaves orphans, which nobody
 *                                                                     refers to.
 *   2. `state.db`: layers, tails, directory, keys, `flushedThrough`.  From here on the flush is there, all of it.
 *
 * What `recent.db` had of the shard comes with it (`carried`); the caller takes it away there afterwards.
 *
 * Erasing and compacting go in steps (shard-rewrites.ts), and flushes of the same shard may come between two of them.
 *
 * Runs in the flush worker, knows nothing of threads. After any error of a flush the writer must be dropped: `abandon`,
 * not `close`.
 */
import { existsSync } from "node:fs";
import { LayerScratch } from "../layers/layer-merge.ts";
import { LayerSource, pageBytes, readStack } from "../layers/page-table.ts";
import type { ShardRow } from "../placed/state-file.ts";
import { readShardRow, type Unsigned, writeSegmentRow, writeShardRow } from "../placed/state-writer.ts";
import type { SqlDatabase } from "../sqlite/database.ts";
import type { EraseRange, ShardId } from "../../types.ts";
import { BlockWriter } from "../placed/block.ts";
import { BlockCache } from "../sqlite/block-cache.ts";
import { CODEC_ZSTD, pack, type Packing } from "../../encoding/packing.ts";
import { createMarker } from "../sqlite/database-file.ts";
import type { FlushImage } from "./flush-image.ts";
import { FlushTransaction, type PlacedRun, type PlacingLimits } from "./flush-transaction.ts";
import { erasingPath } from "../sqlite/paths.ts";
import type { Item } from "../../encoding/run.ts";
import { insertBlock } from "../placed/segment-file.ts";
import { type Active, ShardFiles } from "./shard-files.ts";
import { compactSteps, eraseSteps, type RewriteSteps } from "./shard-rewrites.ts";
import type { CompactReport, FlushJob } from "../segment-store.ts";

export type WriterOptions = PlacingLimits & {
  dir: string;
  /** A segment larger than this after a flush is left, and the next flush that has blocks begins another. */
  segmentBytesMax: number;
  /** Raw size at which a block is full. */
  blockBytesMax: number;
  /** A write-ahead file of SQLite larger than this after a flush is folded into its database. */
  walBytesMax: number;
  /** How flushes pack layers, and blocks. */
  packing: Packing;
  blockPacking: Packing;
};

/** Unpacked pages of layers, of one shard. */
const CACHE_BYTES = 1 << 20;

export class ShardWriter {
  readonly #shard: ShardId;
  readonly #options: WriterOptions;
  readonly #files: ShardFiles;
  readonly #blocks = new BlockWriter();
  readonly #cache = new BlockCache(CACHE_BYTES);
  readonly #scratch = new LayerScratch();

  constructor(shard: ShardId, options: WriterOptions) {
    this.#shard = shard;
    this.#options = options;
    this.#files = new ShardFiles(options.dir, shard);
  }

  /** How far its own files reach. */
  get row(): Unsigned<ShardRow> {
    return readShardRow(this.#files.openState(), this.#shard);
  }

  /** What its layers take, packed. */
  get layerBytes(): number {
    return pageBytes(this.#files.openState(), this.#shard);
  }

  /**
   * Returns the files that are full but not sealed yet, which readers should close, and whether there is something to
   * erase from files.
   */
  flush(
    job: FlushJob,
    image: FlushImage,
    carried: LayerSource | undefined,
  ): { unsealed: number[]; isErasing: boolean } {
    const state = this.#files.openState();
    const isErasing = this.#noteErasing(image.erasures);
    const sealed = this.#files.sealLeft();
    // The state's transaction is opened first (reading in it costs half) and committed last.
    state.within("BEGIN IMMEDIATE", () => {
      for (const row of sealed) writeSegmentRow(state, row);
      this.#apply(state, carried, (transaction) => transaction.apply(job, image, this.#options.packing));
    });
    this.#files.foldLarge(this.#options.walBytesMax);
    return { unsealed: this.#files.unsealed(), isErasing };
  }

  /**
   * Takes in what `recent.db` has of the shard, and makes flushed entries tombstones for every reader; `eraseSteps`
   * then takes them out of the segments.
   * @param through how far the shard is flushed, and of which term
   * @param level all layers become one, packed with this zstd level
   */
  spill(
    ranges: readonly EraseRange[],
    carried: LayerSource | undefined,
    through: Pick<ShardRow, "flushed_through" | "term">,
    level?: number,
  ): void {
    const state = this.#files.openState();
    this.#noteErasing(ranges);
    const packing: Packing = level === undefined ? this.#options.packing : { codec: CODEC_ZSTD, level };
    state.within("BEGIN IMMEDIATE", () => {
      this.#apply(state, carried, (transaction) => transaction.spill(ranges, through, packing, level !== undefined));
    });
    this.#files.foldLarge(this.#options.walBytesMax);
  }

  eraseSteps(): RewriteSteps<void> {
    return eraseSteps(this.#rewriting());
  }

  compactSteps(level: number): RewriteSteps<CompactReport> {
    return compactSteps(this.#rewriting(), level);
  }

  /** Plain files remain. */
  close(): void {
    this.#files.close();
  }

  /** Closes as things are. */
  abandon(): void {
    this.#files.abandon();
  }

  #rewriting(): Parameters<typeof eraseSteps>[0] {
    const { dir, segmentBytesMax } = this.#options;
    return { dir, shard: this.#shard, files: this.#files, segmentBytesMax };
  }

  /** Transaction 1 within transaction 2. */
  #apply(
    state: SqlDatabase,
    carried: LayerSource | undefined,
    change: (transaction: FlushTransaction) => Unsigned<ShardRow>,
  ): void {
    let active: Active | undefined;
    const sink = (lane: number, streamNo: number, name: string, items: Item[]): PlacedRun[] => {
      if (active === undefined) {
        active = this.#files.openActive(this.#options.segmentBytesMax);
        active.db.sql("BEGIN IMMEDIATE").run();
      }
      return this.#place(active, lane, streamNo, name, items);
    };
    const before = readShardRow(state, this.#shard);
    const into = new LayerSource(state, this.#shard, readStack(before.layers), this.#cache);
    const after = change(new FlushTransaction(into, carried, before, sink, this.#options, this.#scratch));
    if (active !== undefined) this.#finish(state, active);
    writeShardRow(state, { ...after, files: this.#files.lastFile });
  }

  #place(active: Active, lane: number, streamNo: number, name: string, items: Item[]): PlacedRun[] {
    const { blockBytesMax } = this.#options;
    const placed: PlacedRun[] = [];
    for (let from = 0; from < items.length;) {
      const to = this.#blocks.add(lane, streamNo, name, items, from, blockBytesMax);
      placed.push({ segment: active.row.segment, block: active.row.blocks + 1, items: items.slice(from, to) });
      from = to;
      // The rest of a lane goes to another block, even when this one has room.
      if (from < items.length || this.#blocks.length >= blockBytesMax) this.#writeBlock(active);
    }
    return placed;
  }

  #writeBlock(active: Active): void {
    const raw = this.#blocks.finish();
    const block = active.row.blocks + 1;
    const stored = { ...pack(raw, this.#options.blockPacking), rawBytes: raw.length };
    insertBlock(active.db, { shard: this.#shard, file: active.row.file, block }, stored);
    active.row = { ...active.row, blocks: block };
  }

  #finish(state: SqlDatabase, active: Active): void {
    if (this.#blocks.length > 0) this.#writeBlock(active);
    active.db.sql("COMMIT").run();
    writeSegmentRow(state, active.row);
  }

  /**
   * Durable before the erasure is, so that it is finished after a crash. Also for entries that come with the same
   * flush: a crash in an earlier attempt may have left them in a file.
   */
  #noteErasing(ranges: readonly EraseRange[]): boolean {
    if (ranges.length === 0) return false;
    const path = erasingPath(this.#options.dir, this.#shard);
    if (!existsSync(path)) createMarker(path);
    return true;
  }
}
