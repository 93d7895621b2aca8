/**
 * One shard: every file of it sound, every checksum right; then what `state.db` says of streams, keys and blocks against the blocks themselves
 * (verify-directory.ts), and against the log.
 *
 * Files are read as bytes (database-image.ts), one at a time; nothing is opened for writing.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { CorruptionError, FormatError } from "../errors.ts";
import type { FileFormat } from "../segment/database-file.ts";
import { readBlock, SEGMENT_FORMAT, blockAt } from "../segment/segment-file.ts";
import type { SqlDatabase } from "../sqlite.ts";
import { listSegments } from "../state/state-reader.ts";
import { SEGMENT_SEALED, STATE_FORMAT, type SegmentRow, type ShardRow } from "../state/state-file.ts";
import type { ShardId } from "../types.ts";
import { integrityFaults, openImage } from "./database-image.ts";
import type { Findings, VerifyReport } from "./report.ts";

export type ShardCheck = {
  /** Directory with the shard's files. */
  at: string;
  /** How findings name it. */
  name: string;
  shard: ShardId;
  findings: Findings;
  report: VerifyReport;
  /** Bytes of files that were looked at. */
  progress: (bytes: number) => void;
};

const segmentName = (segment: number): string => `segment-${String(segment).padStart(6, "0")}.db`;

/** @returns the shard's row, undefined where there is none that can be read */
export function verifyShardFiles(check: ShardCheck): ShardRow | undefined {
  return withImage(check, "state.db", STATE_FORMAT, (state) => {
    const row = verifyShardRow(check, state);
    const segments = listSegments(state);
    verifySegmentRows(check, segments);
    for (const rows of Map.groupBy(segments, (row) => row.file).values()) verifySegment(check, rows);
    return row;
  });
}

/** Undefined after a finding, when the file cannot be read any further. */
function withImage<T>(
  check: ShardCheck,
  name: string,
  format: FileFormat,
  look: (db: SqlDatabase) => T,
): T | undefined {
  const path = join(check.at, name);
  const file = `${check.name}/${name}`;
  const { findings } = check;
  if (!existsSync(path)) {
    findings.add("missing", file, "this name", `the ${format.name} is missing`);
    return undefined;
  }
  try {
    const { db, faults } = openImage(path);
    for (const { place, what } of faults) findings.add("damaged", `${file}-wal`, place, what);
    try {
      for (const fault of integrityFaults(db))
        findings.add("damaged", file, "SQLite's own check", fault.replaceAll("\n", " "));
      checkFormat(db, format);
      return look(db);
    } finally {
      db.close();
    }
  } catch (error) {
    if (error instanceof FormatError) throw error;
    findings.add("damaged", file, error instanceof CorruptionError ? error.place : "all of it", messageOf(error, path));
    return undefined;
  } finally {
    check.progress(statSync(path).size);
  }
}

function checkFormat(db: SqlDatabase, format: FileFormat): void {
  const id = db.pragma("application_id");
  if (id !== format.applicationId)
    throw new CorruptionError(db.file, "its head", `application id ${String(id)}, not that of a ${format.name}`);
  const version = db.pragma("user_version") as number;
  if (version > format.version) throw new FormatError(db.file, version, format.version);
}

function messageOf(error: unknown, path: string): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(`${path}: `, "");
}

function verifyShardRow({ name, shard, findings }: ShardCheck, state: SqlDatabase): ShardRow | undefined {
  const rows = state.sql("SELECT * FROM shard").all<ShardRow>();
  const [row] = rows;
  const fault = (what: string): void => findings.add("damaged", `${name}/state.db`, "table shard", what);
  if (row === undefined || rows.length > 1) fault(`${rows.length} rows instead of one`);
  else if (row.shard !== shard) fault(`it is of shard ${row.shard}`);
  return row;
}

function verifySegmentRows({ at, name, findings, report }: ShardCheck, segments: SegmentRow[]): void {
  segments.forEach(({ segment }, index) => {
    if (index > 0 && segment !== segments[index - 1]!.segment + 1)
      findings.add(
        "damaged",
        `${name}/state.db`,
        `table segment, row ${segment}`,
        "the segment before it is not listed",
      );
  });
  const known = new Set(segments.map(({ file }) => segmentName(file)));
  for (const file of readdirSync(at)) {
    if (!/^segment-\d{6}\.db$/.test(file) || known.has(file)) continue;
    report.notes.push(`${name}/${file} was begun and is not used; the next flush of the shard removes it`);
  }
}

/** One file, with the segments that share it. */
function verifySegment(check: ShardCheck, rows: SegmentRow[]): void {
  const { shard, findings, report, name } = check;
  const [{ file: fileNo, status }] = rows as [SegmentRow, ...SegmentRow[]];
  const counted = Math.max(...rows.map((row) => row.base + row.blocks));
  const file = `${name}/${segmentName(fileNo)}`;
  withImage(check, segmentName(fileNo), SEGMENT_FORMAT, (db) => {
    const blocks = db.sql("SELECT block FROM block ORDER BY block").all<{ block: number }>();
    const orphans = blocks.length - counted;
    if (orphans < 0) findings.add("disagrees", file, "table block", `${blocks.length} blocks, ${counted} in state.db`);
    if (orphans > 0) {
      if (status === SEGMENT_SEALED)
        findings.add("disagrees", file, "table block", `${blocks.length} blocks, ${counted} in state.db`);
      else report.notes.push(`${file} has ${orphans} blocks of a flush that a crash cut short`);
    }
    for (let block = 1; block <= Math.min(counted, blocks.length); block++) {
      report.blocks++;
      try {
        readBlock(db, { shard, file: fileNo, block });
      } catch (error) {
        findings.add("damaged", file, blockAt(block), messageOf(error, db.file));
      }
    }
  });
}
