/**
 * One shard, in this order; what does not hold ends it, since the rest would only repeat it.
 *
 *   1. `state.db` sound in SQLite's own eyes, of a known format, with the tables of that format, every row's checksum right
 *   2. every segment file that it lists the same, every block's checksum right, blocks dense
 *   3. streams, lanes, timelines, runs, tails, recent items, keys and blocks telling one story (verify-places.ts, verify-keys.ts)
 *
 * Files are read as bytes (database-image.ts), state and one segment at a time; nothing is opened for writing.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { CorruptionError, FormatError } from "../errors.ts";
import { readBlockParts } from "../segment/block.ts";
import type { FileFormat } from "../segment/database-file.ts";
import { blockAt, readBlock, SEGMENT_FORMAT } from "../segment/segment-file.ts";
import type { SqlDatabase } from "../sqlite.ts";
import type { Table } from "../state/row-crc.ts";
import { SEGMENT_SEALED, STATE_FORMAT, type SegmentRow, type ShardRow } from "../state/state-file.ts";
import { countErasures, readShardRow } from "../state/state-writer.ts";
import { findShard, findStream, listSegments } from "../state/state-reader.ts";
import type { ShardId } from "../types.ts";
import { integrityFaults, openImage } from "./database-image.ts";
import type { Findings, VerifyReport } from "./report.ts";
import { KeyCheck } from "./verify-keys.ts";
import { PlaceCheck } from "./verify-places.ts";
import type { LogSeqs } from "./verify-log.ts";
import { stateSchema, verifyRows, verifySchema, type Fault } from "./verify-rows.ts";

export type ShardCheck = {
  /** Directory with the shard's files. */
  at: string;
  /** How findings name it. */
  name: string;
  shard: ShardId;
  findings: Findings;
  report: VerifyReport;
  /** Seqs of its streams that the log holds, if that is whole. */
  inLog: Map<string, LogSeqs> | undefined;
  /** Bytes of files that were looked at. */
  progress: (bytes: number) => void;
};

const STATE = "state.db";
const segmentName = (file: number): string => `segment-${String(file).padStart(6, "0")}.db`;

/** @returns the shard's row, undefined where there is none that can be believed */
export function verifyShardFiles(check: ShardCheck): ShardRow | undefined {
  return withImage(check, STATE, STATE_FORMAT, stateSchema, (state, fault) => {
    let counts = new Map<Table, number>();
    if (!isSound(check, () => (counts = verifyRows(state, fault)))) return undefined;
    if ([...counts.values()].every((rows) => rows === 0)) {
      check.report.notes.push(`${check.name}/${STATE} was begun and holds nothing yet`);
      return { ...readShardRow(state, check.shard), crc: 0 };
    }
    const row = verifyShardRow(check, state, fault);
    if (row === undefined) return undefined;
    const segments = listSegments(state);
    verifySegmentRows(check, row, segments, fault);
    check.report.cells += counts.get("cell") ?? 0;
    verifyPlaces(check, state, row, segments, counts.get("run") ?? 0, fault);
    for (const [name, seqs] of check.inLog ?? []) verifyHead(check, name, findStream(state, name)?.head_seq ?? 0, seqs);
    return row;
  });
}

/** The log goes on where the stream's entries in files end, or before. */
export function verifyHead(
  { shard, findings }: ShardCheck,
  name: string,
  head: number,
  { firstSeq, lastSeq }: LogSeqs,
): void {
  const fault = (what: string): void => findings.add("disagrees", "wal", `shard ${shard}, stream ${name}`, what);
  if (firstSeq > head + 1) fault(`begins with seq ${firstSeq}, but the shard's files end with ${head}`);
  if (lastSeq < head) fault(`ends with seq ${lastSeq}, but the shard's files with ${head}`);
}

/** Undefined when the file cannot be read any further; that is a finding. */
function withImage<T>(
  check: ShardCheck,
  name: string,
  format: FileFormat,
  schema: (db: SqlDatabase) => string,
  look: (db: SqlDatabase, fault: Fault) => T,
): T | undefined {
  const path = join(check.at, name);
  const file = `${check.name}/${name}`;
  const { findings } = check;
  const fault: Fault = (place, what) => findings.add("damaged", file, place, what);
  if (!existsSync(path)) {
    findings.add("missing", file, "this name", `the ${format.name} is missing`);
    return undefined;
  }
  try {
    const { db, faults } = openImage(path);
    for (const { place, what } of faults) findings.add("damaged", `${file}-wal`, place, what);
    try {
      checkFormat(db, format);
      const isReadable = isSound(check, () => {
        for (const line of integrityFaults(db)) fault("SQLite's own check", line.replaceAll("\n", " "));
        verifySchema(db, schema(db), fault);
      });
      return isReadable ? look(db, fault) : undefined;
    } finally {
      db.close();
    }
  } catch (error) {
    if (error instanceof FormatError) findings.add("newer", file, "its head", messageOf(error, path));
    else fault(error instanceof CorruptionError ? error.place : "all of it", messageOf(error, path));
    return undefined;
  } finally {
    check.progress(statSync(path).size);
  }
}

/** Whether `look` found nothing wrong. */
function isSound({ findings }: ShardCheck, look: () => void): boolean {
  const before = findings.count;
  look();
  return findings.count === before;
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

function verifyShardRow({ shard }: ShardCheck, state: SqlDatabase, fault: Fault): ShardRow | undefined {
  const row = findShard(state);
  if (row === undefined) fault("table shard", "it has no row");
  else if (row.shard !== shard) fault("table shard", `it is of shard ${row.shard}`);
  else if (row.erasures !== countErasures(state))
    fault("table shard", `${row.erasures} erasures, table erasure says otherwise`);
  return row;
}

function verifySegmentRows(
  { at, name, report }: ShardCheck,
  shard: ShardRow,
  segments: SegmentRow[],
  fault: Fault,
): void {
  segments.forEach(({ segment, file }, index) => {
    const place = `table segment, row ${segment}`;
    if (segment !== index + 1) fault(place, "the segment before it is not listed");
    if (file > shard.files) fault(place, `file ${file}, the highest was ${shard.files}`);
  });
  for (const rows of Map.groupBy(segments, (row) => row.file).values()) {
    let base = 0;
    for (const row of rows.toSorted((a, b) => a.base - b.base)) {
      if (row.base !== base)
        fault(`table segment, row ${row.segment}`, `it begins at block ${row.base} of its file, not ${base}`);
      base = row.base + row.blocks;
    }
  }
  const known = new Set(segments.map(({ file }) => segmentName(file)));
  for (const file of readdirSync(at)) {
    if (!/^segment-\d{6}\.db$/.test(file) || known.has(file)) continue;
    report.notes.push(`${name}/${file} was begun and is not used; the next flush of the shard removes it`);
  }
}

function verifyPlaces(
  check: ShardCheck,
  state: SqlDatabase,
  row: ShardRow,
  segments: SegmentRow[],
  runs: number,
  fault: Fault,
): void {
  const keys = new KeyCheck(state, fault);
  const places = new PlaceCheck(state, row, keys, fault);
  const isDirectorySound = isSound(check, () => {
    places.begin();
    if (runs > 0 || row.lanes > 0) keys.readIndex();
  });
  let parts = 0;
  const areBlocksSound = isSound(check, () => {
    for (const rows of Map.groupBy(segments, (segment) => segment.file).values()) {
      parts += verifySegmentFile(check, rows, isDirectorySound ? places : undefined);
    }
  });
  if (isDirectorySound && areBlocksSound) {
    if (parts !== runs) fault("table run", `${runs} runs, segments have ${parts}`);
    places.finish();
    keys.finish();
  }
  const { report } = check;
  report.streams += places.streamCount;
  report.entries += places.entries;
  report.keys += keys.count;
}

/** One file, with the segments that share it. @returns how many runs its blocks have */
function verifySegmentFile(check: ShardCheck, rows: SegmentRow[], places: PlaceCheck | undefined): number {
  const { report } = check;
  const [{ file, status }] = rows as [SegmentRow, ...SegmentRow[]];
  const counted = rows.reduce((sum, row) => sum + row.blocks, 0);
  const parts = withImage(
    check,
    segmentName(file),
    SEGMENT_FORMAT,
    () => SEGMENT_FORMAT.schema,
    (db, fault) => {
      const { blocks, last } = db
        .sql("SELECT count(*) AS blocks, coalesce(max(block), 0) AS last FROM block")
        .get<{ blocks: number; last: number }>()!;
      if (last !== blocks || blocks < counted || (blocks > counted && status === SEGMENT_SEALED))
        fault("table block", `${blocks} blocks, the last is ${last}; state.db says ${counted}`);
      else if (blocks > counted)
        report.notes.push(
          `${check.name}/${segmentName(file)} has ${blocks - counted} blocks of a flush that a crash cut short`,
        );
      let found = 0;
      for (const row of rows) {
        for (let block = 1; block <= row.blocks; block++) found += verifyBlock(check, db, row, block, places, fault);
      }
      return found;
    },
  );
  return parts ?? 0;
}

function verifyBlock(
  { shard, report }: ShardCheck,
  db: SqlDatabase,
  { segment, file, base }: SegmentRow,
  block: number,
  places: PlaceCheck | undefined,
  fault: Fault,
): number {
  report.blocks++;
  try {
    const parts = readBlockParts(readBlock(db, { shard, file, block: base + block }));
    for (const { lane, streamNo, run } of parts) places?.run(lane, streamNo, run, { segment, block });
    return parts.length;
  } catch (error) {
    if (!(error instanceof CorruptionError || error instanceof RangeError)) throw error;
    fault(blockAt(base + block), messageOf(error, db.file).replace(` at ${blockAt(base + block)}`, ""));
    return 0;
  }
}
