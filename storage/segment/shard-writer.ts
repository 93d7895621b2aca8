/**
 * The writing side of one shard: a flush is two transactions, each synced, in this order.
 *
 *   1. the active segment: insert the blocks, if there are any.       A crash after it leaves orphans, which nobody refers to.
 *   2. `state.db`: tails, directory, keys, cells, `flushedThrough`.   From here on the flush is there, all of it.
 *
 * Erasing and compacting go in steps (shard-rewrites.ts), and flushes of the same shard may come between two of them.
 *
 * Runs in the flush worker, knows nothing of threads. After any error of a flush the writer must be dropped: `abandon`, not `close`.
 */
import { existsSync } from "node:fs";
import type { ShardRow } from "../state/state-file.ts";
import { findStream } from "../state/state-reader.ts";
import { readShardRow, type Unsigned, writeSegmentRow, writeShardRow } from "../state/state-writer.ts";
import type { SqlDatabase } from "../sqlite.ts";
import type { Offset, ShardId } from "../types.ts";
import { BlockWriter } from "./block.ts";
import { pack, type Packing } from "./codec.ts";
import { createMarker } from "./database-file.ts";
import type { EraseRange } from "./erasure.ts";
import { type FlushImage, readFlushImage } from "./flush-image.ts";
import { FlushTransaction, type PlacedRun } from "./flush-transaction.ts";
import { erasingPath } from "./paths.ts";
import type { Item } from "./run.ts";
import { insertBlock } from "./segment-file.ts";
import { type Active, ShardFiles } from "./shard-files.ts";
import { compactSteps, eraseSteps, type RewriteSteps } from "./shard-rewrites.ts";
import type { CompactReport, FlushJob } from "./types.ts";

export type WriterOptions = {
  dir: string;
  /** A segment larger than this after a flush is left, and the next flush that has blocks begins another. */
  segmentBytesMax: number;
  /** Raw size at which a block is full. */
  blockBytesMax: number;
  /** A write-ahead file of SQLite larger than this after a flush is folded into its database. */
  walBytesMax: number;
  /** A lane's tail of so many entries goes to a block; at most 64. */
  runEntriesMin: number;
  /** With more recent items than this a stream's are placed in their lanes. */
  recentItemsMax: number;
  /** How flushes pack blocks. */
  packing: Packing;
};

export class ShardWriter {
  readonly #shard: ShardId;
  readonly #options: WriterOptions;
  readonly #files: ShardFiles;
  readonly #blocks = new BlockWriter();

  constructor(shard: ShardId, options: WriterOptions) {
    this.#shard = shard;
    this.#options = options;
    this.#files = new ShardFiles(options.dir, shard);
  }

  /** Returns the files that are full but not sealed yet: who reads them should let go of them. And whether there is something to erase from files. */
  flush(job: FlushJob): { unsealed: number[]; isErasing: boolean } {
    const state = this.#files.openState();
    const before = readShardRow(state, this.#shard);
    checkProgress(job, before);
    const image = readFlushImage(job, before.flushed_through as Offset);
    const isErasing = this.#noteErasing(state, image.erasures);
    const sealed = this.#files.sealLeft();
    // The state's transaction is opened first (reading in it costs half) and committed last.
    state.within("BEGIN IMMEDIATE", () => {
      for (const row of sealed) writeSegmentRow(state, row);
      writeShardRow(state, this.#apply(state, before, job, image));
    });
    this.#files.foldLarge(this.#options.walBytesMax);
    return { unsealed: this.#files.unsealed(), isErasing };
  }

  /** Makes flushed entries tombstones for whoever reads. `eraseSteps` then takes them out of the segments. */
  erase(ranges: EraseRange[]): void {
    const state = this.#files.openState();
    this.#noteErasing(state, ranges);
    state.within("BEGIN IMMEDIATE", () => {
      const before = readShardRow(state, this.#shard);
      const transaction = new FlushTransaction(state, before, () => [], this.#options);
      writeShardRow(state, { ...transaction.erase(ranges), shard: this.#shard });
    });
  }

  eraseSteps(): RewriteSteps<void> {
    return eraseSteps(this.#rewriting());
  }

  compactSteps(level: number): RewriteSteps<CompactReport> {
    return compactSteps(this.#rewriting(), level);
  }

  /** Plain files remain. */
  close(isForGood: boolean): void {
    this.#files.close(isForGood);
  }

  /** Closes as things are. */
  abandon(): void {
    this.#files.abandon();
  }

  #rewriting(): Parameters<typeof eraseSteps>[0] {
    const { dir, packing, segmentBytesMax } = this.#options;
    return { dir, shard: this.#shard, files: this.#files, packing, segmentBytesMax };
  }

  /** Transaction 1 within transaction 2. */
  #apply(state: SqlDatabase, before: Unsigned<ShardRow>, job: FlushJob, image: FlushImage): Unsigned<ShardRow> {
    let active: Active | undefined;
    const sink = (lane: number, streamNo: number, name: string, items: Item[]): PlacedRun[] => {
      if (active === undefined) {
        active = this.#files.openActive(this.#options.segmentBytesMax);
        active.db.sql("BEGIN IMMEDIATE").run();
      }
      return this.#place(active, lane, streamNo, name, items);
    };
    const after = new FlushTransaction(state, before, sink, this.#options).apply(job, image);
    if (active !== undefined) this.#finish(state, active);
    return { ...after, files: this.#files.lastFile };
  }

  #place(active: Active, lane: number, streamNo: number, name: string, items: Item[]): PlacedRun[] {
    const { blockBytesMax } = this.#options;
    const placed: PlacedRun[] = [];
    for (let from = 0; from < items.length;) {
      const to = this.#blocks.add(lane, streamNo, name, items, from, blockBytesMax);
      placed.push({ segment: active.row.segment, block: active.row.blocks + 1, items: items.slice(from, to) });
      from = to;
      // A lane that goes on goes on in another block, whatever room its keys left in this one.
      if (from < items.length || this.#blocks.length >= blockBytesMax) this.#writeBlock(active);
    }
    return placed;
  }

  #writeBlock(active: Active): void {
    const raw = this.#blocks.take();
    const block = active.row.blocks + 1;
    const stored = { ...pack(raw, this.#options.packing), rawBytes: raw.length };
    insertBlock(active.db, { shard: this.#shard, file: active.row.file, block }, stored);
    active.row = { ...active.row, blocks: block };
  }

  #finish(state: SqlDatabase, active: Active): void {
    if (this.#blocks.length > 0) this.#writeBlock(active);
    active.db.sql("COMMIT").run();
    writeSegmentRow(state, active.row);
  }

  /** Durable before the erasure is, so that no crash makes anybody forget to finish it. */
  #noteErasing(state: SqlDatabase, ranges: readonly EraseRange[]): boolean {
    const path = erasingPath(this.#options.dir, this.#shard);
    const isFlushed = ({ stream, fromSeq }: EraseRange): boolean =>
      (findStream(state, stream)?.head_seq ?? 0) >= fromSeq;
    const isErasing = ranges.some(isFlushed);
    if (isErasing && !existsSync(path)) createMarker(path);
    return isErasing;
  }
}

function checkProgress(job: FlushJob, row: Unsigned<ShardRow>): void {
  const { shard, throughOffset, term } = job;
  if (throughOffset < row.flushed_through) {
    throw new RangeError(`shard ${shard}: flush through ${throughOffset}, but ${row.flushed_through} is flushed`);
  }
  if (term < row.term) throw new RangeError(`shard ${shard}: flush of term ${term}, but term ${row.term} has flushed`);
}
