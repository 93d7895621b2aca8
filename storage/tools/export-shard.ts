/**
 * Exports one shard: a copy of its state and its segments as of one flush, in one file (export-file.ts). What
 * `recent.db` has of it is brought there first: `spill`.
 *
 * The copies are made by SQLite (`VACUUM INTO`), each in one moment of its file: that works beside an open store,
 * brings in what stands in a write-ahead file, and leaves behind what SQLite has freed but not overwritten. State comes
 * first, and what it refers to is never changed, so that it all fits together; blocks of later flushes come along and
 * mean nothing.
 *
 * What came after the spilling is not in it: flush first, or bring the tail of the log afterwards (a move). Beside an
 * open store the caller keeps the shard from being compacted meanwhile.
 *
 * Crash: nothing under the name that was asked for, perhaps `….new` and `….copy` beside it, which the next export
 * overwrites.
 */
import * as fs from "node:fs";
import { dirname } from "node:path";
import { CorruptionError } from "../errors.ts";
import { hasState, recentPath, segmentPath, shardDirectory, statePath } from "../files/sqlite/paths.ts";
import { openSegmentStore } from "../files/sqlite-segments.ts";
import { SqlDatabase } from "../files/sqlite/database.ts";
import type { SegmentRow, ShardRow } from "../files/placed/state-file.ts";
import { listSegments } from "../files/placed/state-reader.ts";
import type { ShardId } from "../types.ts";
import { openImage } from "./database-image.ts";
import { eachRecord, readLog } from "./log-reader.ts";
import { ExportWriter, type ExportEnd, type ExportHeader } from "./export-file.ts";

export type ExportedShard = ExportHeader & ExportEnd;

/** `spill` of the open store; `spillShard` where there is none. */
export type Spill = (shard: ShardId) => Promise<void>;

/**
 * @param out replaced if it is there
 * @returns undefined when the shard has no data, and nothing is written
 */
export async function exportShard(
  directory: string,
  shard: ShardId,
  out: string,
  spill: Spill,
  progress: (done: number, total: number) => void = () => {},
): Promise<ExportedShard | undefined> {
  await spill(shard);
  if (!hasState(directory, shard)) return undefined;
  const copy = `${out}.copy`;
  const fresh = `${out}.new`;
  try {
    snapshot(statePath(directory, shard), copy);
    const { row, segments } = readCopy(copy);
    const total = shardBytes(directory, shard);
    let done = 0;
    const advance = (bytes: number): void => progress((done += bytes), total);
    const file = fs.openSync(fresh, "w", 0o600);
    try {
      const header = { shard, term: row.term, flushedThrough: row.flushed_through, streams: row.streams };
      const writer = new ExportWriter(file, header);
      writer.add("state.db", copy, advance);
      for (const segment of new Set(segments.map(({ file }) => file))) {
        const path = segmentPath(directory, shard, segment);
        snapshot(path, copy);
        writer.add(path.slice(dirname(path).length + 1), copy, advance);
        await new Promise(setImmediate);
      }
      const end = writer.end();
      fs.fsyncSync(file);
      fs.renameSync(fresh, out);
      syncDirectory(dirname(out));
      return { ...header, ...end };
    } finally {
      fs.closeSync(file);
    }
  } finally {
    fs.rmSync(copy, { force: true });
    fs.rmSync(fresh, { force: true });
  }
}

/** Spills a shard of a directory that nobody has open, if it is not spilled already: then nothing is written. */
export async function spillShard(directory: string, shard: ShardId): Promise<void> {
  if (reachOf(directory, shard).isSpilled) return;
  const store = openSegmentStore({ dir: directory });
  try {
    await store.spill(shard);
  } finally {
    await store.close();
  }
}

/**
 * Whether exporting it writes nothing into the directory. `unflushed`: records of the shard that the log holds and its
 * files do not have. For a directory that nobody writes to.
 */
export function exportNeeds(directory: string, shard: ShardId): { isSpilled: boolean; unflushed: number } {
  const { flushedThrough, isSpilled } = reachOf(directory, shard);
  let unflushed = 0;
  readLog(directory, {
    frame: (frame) =>
      eachRecord(frame, (record) => void (record.shard === shard && record.offset > flushedThrough && unflushed++)),
  });
  return { isSpilled, unflushed };
}

/** How far files have the shard, and whether its own have all of that. */
function reachOf(directory: string, shard: ShardId): { flushedThrough: number; isSpilled: boolean } {
  const sql = (where: string): string => `SELECT flushed_through AS through FROM shard WHERE ${where}`;
  const own = hasState(directory, shard) ? throughOf(statePath(directory, shard), sql("true")) : -1;
  const path = recentPath(directory);
  const recent = fs.existsSync(path) ? throughOf(path, sql(`shard = ${shard}`)) : -1;
  return { flushedThrough: Math.max(own, recent, 0), isSpilled: recent <= own };
}

/** Of a file as it stands: opening it would write, where a crash left something. */
function throughOf(path: string, sql: string): number {
  const { db } = openImage(path);
  try {
    return db.sql(sql).get<{ through: number }>()?.through ?? -1;
  } finally {
    db.close();
  }
}

/** The file is as SQLite sees it now, alone and without what it has freed. */
function snapshot(path: string, copy: string): void {
  if (!fs.existsSync(path)) throw new CorruptionError(path, "this name", "a file of the shard is missing");
  fs.rmSync(copy, { force: true });
  // Not read-only: the last connection then takes SQLite's own files away again, which a read-only one leaves behind.
  const db = new SqlDatabase(path, "readwrite");
  try {
    db.sql("VACUUM INTO ?").run(copy);
  } finally {
    db.close();
  }
}

function readCopy(copy: string): { row: ShardRow; segments: SegmentRow[] } {
  const db = new SqlDatabase(copy, "readonly");
  try {
    const row = db.sql("SELECT * FROM shard").get<ShardRow>();
    if (row === undefined) throw new CorruptionError(copy, "table shard", "it has no row");
    return { row, segments: listSegments(db) };
  } finally {
    db.close();
  }
}

function shardBytes(directory: string, shard: ShardId): number {
  const at = shardDirectory(directory, shard);
  const sizes = fs.readdirSync(at).map((name) => (name.endsWith(".db") ? fs.statSync(`${at}/${name}`).size : 0));
  return sizes.reduce((sum, size) => sum + size, 0);
}

function syncDirectory(path: string): void {
  const directory = fs.openSync(path, "r");
  try {
    fs.fsyncSync(directory);
  } finally {
    fs.closeSync(directory);
  }
}
