/**
 * The writing side of one shard: a flush is two transactions, each synced, in this order.
 *
 *   1. the active segment: insert the blocks.                         A crash after it leaves orphans, which nobody refers to.
 *   2. `state.db`: directory, keys, heads, cells, `flushedThrough`.   From here on the flush is there, all of it.
 *
 * Orphans are removed when a segment is opened for writing.
 *
 * A new segment file is made before 1, and is empty until then; a crash leaves a file that `state.db` does not list, and the next flush
 * that needs a new segment takes it over. A segment left behind is sealed at the start of a later flush: out of WAL mode, one file, for ever.
 * That needs a moment without readers; while there is one it waits for the next flush, and the file is complete and readable meanwhile.
 *
 * Runs in the flush worker, knows nothing of threads. After any error the writer must be dropped: `abandon`, not `close`.
 */
import { existsSync, statSync } from "node:fs";
import {
  readHead,
  readSegmentRows,
  readShardRow,
  RunDirectory,
  writeCells,
  writeHeads,
} from "../state/state-writer.ts";
import { nextShardRow, writeSegmentRow, writeShardRow } from "../state/state-writer.ts";
import { KeyIndex } from "../state/key-index.ts";
import { type RunRow, type SegmentRow, type ShardRow, STATE_FORMAT } from "../state/state-file.ts";
import type { SqlDatabase } from "../sqlite.ts";
import type { Offset, Seq, ShardId } from "../types.ts";
import { BlockWriter, type Item } from "./block.ts";
import {
  createDatabaseFile,
  createDirectory,
  emptyDatabase,
  type FileFormat,
  openDatabaseFile,
} from "./database-file.ts";
import { readFlushImage, type StreamBatch } from "./flush-image.ts";
import { hasState, segmentPath, shardDirectory, statePath } from "./paths.ts";
import { insertBlock, removeOrphans, SEGMENT_FORMAT } from "./segment-file.ts";
import type { FlushJob } from "./types.ts";

export type WriterOptions = {
  dir: string;
  /** A segment larger than this after a flush is left, and the next flush begins another. */
  segmentBytesMax: number;
  /** Raw size at which a block is full. */
  blockBytesMax: number;
  /** A write-ahead file of SQLite larger than this after a flush is folded into its database. */
  walBytesMax: number;
};

/** A part of a batch that went into one block. */
type PlacedRun = { streamNo: number; run: RunRow; items: Item[] };
type Active = { row: SegmentRow; db: SqlDatabase };

/** How long sealing waits for a reader before it leaves the segment for the next flush. */
const SEAL_BUSY_TIMEOUT_MS = 20;

export class ShardWriter {
  readonly #shard: ShardId;
  readonly #options: WriterOptions;
  readonly #blocks = new BlockWriter();
  #state: SqlDatabase | undefined;
  #active: Active | undefined;

  constructor(shard: ShardId, options: WriterOptions) {
    this.#shard = shard;
    this.#options = options;
  }

  /** Returns the segments that are full or left behind but not sealed yet: who reads them should let go of them. */
  flush(job: FlushJob): number[] {
    const state = this.#openState();
    const before = readShardRow(state, this.#shard);
    checkProgress(job, before);
    const { batches, cells } = readFlushImage(job, before.flushed_through as Offset);
    const sealed = this.#sealLeft(state);
    // The state's transaction is opened first (reading in it costs half) and committed last.
    state.within("BEGIN IMMEDIATE", () => {
      const keys = new KeyIndex(state, before.flush + 1);
      const runs = batches.length === 0 ? [] : this.#writeBlocks(job, before.flush + 1, batches, keys);
      const added = writeHeads(state, job.streams);
      this.#writeDirectory(state, runs, keys);
      writeCells(state, cells);
      for (const row of sealed) writeSegmentRow(state, row);
      if (this.#active !== undefined) writeSegmentRow(state, this.#active.row);
      writeShardRow(state, nextShardRow(before, job, added));
    });
    this.#foldLarge();
    return this.#unsealed(state);
  }

  /** Folds the write-ahead files in, so that plain files remain. */
  close(): void {
    for (const db of this.#files()) fold(db);
    this.abandon();
  }

  /** Closes as things are. */
  abandon(): void {
    for (const db of this.#files()) db.close();
    this.#state = undefined;
    this.#active = undefined;
  }

  /** Transaction 1. */
  #writeBlocks(job: FlushJob, flush: number, batches: StreamBatch[], keys: KeyIndex): PlacedRun[] {
    const active = this.#openActive();
    const runs: PlacedRun[] = [];
    const { segment, blocks } = active.row;
    let block = blocks + 1;
    const write = (): void => {
      const raw = this.#blocks.take();
      insertBlock(active.db, { shard: this.#shard, segment, block: block++ }, flush, job.throughOffset, raw);
    };
    active.db.within("BEGIN IMMEDIATE", () => {
      for (const { streamNo, items } of batches) {
        let lastSeq = startsWithKey(items) ? readHead(this.#openState(), streamNo) : (0 as Seq);
        for (const item of items) item.keyRun = item.key !== "" && keys.joinsRun(streamNo, item.key);
        for (let from = 0; from < items.length;) {
          const to = this.#blocks.addRun(streamNo, items, from, this.#options.blockBytesMax);
          const part = items.slice(from, to);
          lastSeq = part.findLast((item) => !item.alone)?.seq ?? lastSeq;
          runs.push({ streamNo, run: { last_seq: lastSeq, segment, block }, items: part });
          from = to;
          if (this.#blocks.length >= this.#options.blockBytesMax) write();
        }
      }
      if (this.#blocks.length > 0) write();
    });
    active.row = { segment, blocks: block - 1, sealed: 0 };
    return runs;
  }

  #writeDirectory(state: SqlDatabase, runs: PlacedRun[], keys: KeyIndex): void {
    const directory = new RunDirectory(state);
    for (const { streamNo, run, items } of runs) {
      const lanes: string[] = [];
      let entries = 0;
      for (const { alone, lane } of items) {
        if (alone) continue;
        entries++;
        if (!lanes.includes(lane)) lanes.push(lane);
      }
      directory.add(streamNo, run, entries, lanes);
      for (const item of items) if (item.key !== "") keys.add(streamNo, item.key, item.keyRun, run);
    }
    keys.finish();
  }

  #openState(): SqlDatabase {
    if (this.#state !== undefined) return this.#state;
    createDirectory(shardDirectory(this.#options.dir, this.#shard));
    const isNew = !hasState(this.#options.dir, this.#shard);
    this.#state = openForWriting(statePath(this.#options.dir, this.#shard), STATE_FORMAT, isNew);
    return this.#state;
  }

  /** The active segment, or the next one when it is full. */
  #openActive(): Active {
    if (this.#active !== undefined && !this.#isFull(this.#active.db)) return this.#active;
    const last = this.#active?.row ?? readSegmentRows(this.#openState()).at(-1);
    this.#active?.db.close();
    this.#active = undefined;
    let active = this.#openSegment(last ?? { segment: 1, blocks: 0, sealed: 0 });
    if (last !== undefined && this.#isFull(active.db)) {
      active.db.close();
      active = this.#openSegment({ segment: last.segment + 1, blocks: 0, sealed: 0 });
    }
    this.#active = active;
    return active;
  }

  /** Without what a crash or a failed flush left above its last block, before anybody asks whether it is full. */
  #openSegment(row: SegmentRow): Active {
    const path = segmentPath(this.#options.dir, this.#shard, row.segment);
    const db = openForWriting(path, SEGMENT_FORMAT, row.blocks === 0);
    removeOrphans(db, row.blocks);
    return { row, db };
  }

  #isFull(db: SqlDatabase): boolean {
    const pages = (db.pragma("page_count") as number) - (db.pragma("freelist_count") as number);
    return pages * SEGMENT_FORMAT.pageBytes > this.#options.segmentBytesMax;
  }

  /** Segments that are full or left behind, and not sealed. */
  #unsealed(state: SqlDatabase): number[] {
    const left = leftBehind(state).map((row) => row.segment);
    return this.#active !== undefined && this.#isFull(this.#active.db) ? [...left, this.#active.row.segment] : left;
  }

  /** Seals what earlier flushes left behind; returns the rows to write. */
  #sealLeft(state: SqlDatabase): SegmentRow[] {
    return leftBehind(state)
      .filter((row) => sealFile(segmentPath(this.#options.dir, this.#shard, row.segment)))
      .map((row) => ({ ...row, sealed: 1 }));
  }

  #foldLarge(): void {
    for (const db of this.#files()) {
      const wal = `${db.file}-wal`;
      if (existsSync(wal) && statSync(wal).size > this.#options.walBytesMax) fold(db);
    }
  }

  #files(): SqlDatabase[] {
    return [this.#active?.db, this.#state].filter((db) => db !== undefined);
  }
}

function checkProgress(job: FlushJob, row: ShardRow): void {
  const { shard, throughOffset, term } = job;
  if (throughOffset < row.flushed_through) {
    throw new RangeError(`shard ${shard}: flush through ${throughOffset}, but ${row.flushed_through} is flushed`);
  }
  if (term < row.term) throw new RangeError(`shard ${shard}: flush of term ${term}, but term ${row.term} has flushed`);
}

/** Unsealed segments but the last. */
function leftBehind(state: SqlDatabase): SegmentRow[] {
  return readSegmentRows(state)
    .slice(0, -1)
    .filter((row) => row.sealed === 0);
}

/** The directory exists. A file that must be there is not made when it is missing. A commit returns after its sync. */
function openForWriting(path: string, format: FileFormat, mayBeMissing: boolean): SqlDatabase {
  if (mayBeMissing && !existsSync(path)) createDatabaseFile(path, emptyDatabase(format));
  const db = openDatabaseFile(path, format, "readwrite");
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = FULL");
  db.pragma("wal_autocheckpoint = 0");
  return db;
}

/** What is in the write-ahead file is committed: failing to fold it in (a full disk) takes nothing back, and a later one does it. */
function fold(db: SqlDatabase): void {
  try {
    db.pragma("wal_checkpoint(TRUNCATE)");
  } catch {
    return;
  }
}

function startsWithKey(items: Item[]): boolean {
  return items[0]!.alone;
}

/** False while somebody reads the file. Whatever else may be wrong with it is said by who reads it; new messages need not wait for that. */
function sealFile(path: string): boolean {
  let db: SqlDatabase | undefined;
  try {
    db = openDatabaseFile(path, SEGMENT_FORMAT, "readwrite", SEAL_BUSY_TIMEOUT_MS);
    db.pragma("synchronous = FULL");
    return db.pragma("journal_mode = DELETE") === "delete";
  } catch {
    return false;
  } finally {
    db?.close();
  }
}
