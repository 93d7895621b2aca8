/**
 * One shard, in this order; what does not hold ends it, since the rest would only repeat it.
 *
 *   1. `state.db` sound in SQLite's own eyes, of a known format, with the tables of that format, every row's checksum
 *      right, its layers readable
 *   2. streams as the layers tell them, those of `recent.db` that count on top (verify-streams.ts)
 *   3. every segment file that it lists sound, every block's checksum right, blocks dense
 *   4. streams, lanes, timelines, runs, tails, keys and blocks telling one story (verify-placed.ts, verify-keys.ts)
 *
 * Files are read as bytes (database-image.ts), state and one segment at a time; nothing is opened for writing.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { CorruptionError } from "../errors.ts";
import type { LayerSource } from "../files/layers/page-table.ts";
import type { RecentShardRow } from "../files/layers/recent-file.ts";
import { readBlockParts } from "../files/placed/block.ts";
import { blockAt, readBlock, SEGMENT_FORMAT } from "../files/placed/segment-file.ts";
import type { SqlDatabase } from "../files/sqlite/database.ts";
import type { Table } from "../files/sqlite/row-crc.ts";
import { SEGMENT_SEALED, STATE_FORMAT, type SegmentRow, type ShardRow } from "../files/placed/state-file.ts";
import { findShard, listSegments } from "../files/placed/state-reader.ts";
import { countErasures } from "../files/placed/state-writer.ts";
import type { ShardId } from "../types.ts";
import type { Findings, VerifyReport } from "./report.ts";
import { isSound, messageOf, withDatabase } from "./verify-database.ts";
import { KeyCheck } from "./verify-keys.ts";
import { LayerCheck } from "./verify-layers.ts";
import type { LogSeqs } from "./verify-log.ts";
import { PlacedCheck } from "./verify-placed.ts";
import { stateSchema, stateTables, verifyRows, type Fault } from "./verify-rows.ts";
import { StreamCheck, verifyNames } from "./verify-streams.ts";

export type ShardCheck = {
  /** Directory with the shard's files, if it has any. */
  at: string;
  /** How findings name it. */
  name: string;
  shard: ShardId;
  findings: Findings;
  report: VerifyReport;
  /** What `recent.db` has of it. */
  recent: RecentPart | undefined;
  /** Seqs of its streams that the log holds, if that is whole. */
  inLog: Map<string, LogSeqs> | undefined;
  /** Bytes of files that were looked at. */
  progress: (bytes: number) => void;
};

/** A shard in `recent.db`, whose layers can all be read. `file`: how findings name it. */
export type RecentPart = { row: RecentShardRow; source: LayerSource; file: string };

/** How far the shard reaches. */
export type VerifiedShard = { flushedThrough: number; term: number; streams: number };

const STATE = "state.db";
const segmentName = (file: number): string => `segment-${String(file).padStart(6, "0")}.db`;

/** @returns undefined where nothing can be said of it */
export function verifyShardFiles(check: ShardCheck): VerifiedShard | undefined {
  const { recent, at, name, findings } = check;
  if (existsSync(at) && !statSync(at).isDirectory()) {
    findings.add("damaged", name, "this name", "it is no directory");
    return undefined;
  }
  if (!hasOwnFiles(check)) return verifyRecentAlone(check, recent, -1);
  const target = {
    path: join(at, STATE),
    file: `${name}/${STATE}`,
    format: STATE_FORMAT,
    schema: stateSchema,
  };
  return withDatabase(check, target, (state, fault) => {
    let counts = new Map<Table, number>();
    if (!isSound(check.findings, () => (counts = verifyRows(state, stateTables(state), fault)))) return undefined;
    if ([...counts.values()].every((rows) => rows === 0)) {
      check.report.notes.push(`${target.file} was begun and holds nothing yet`);
      return verifyRecentAlone(check, recent, 0);
    }
    return verifyState(check, state, counts.get("run") ?? 0, fault);
  });
}

function hasOwnFiles({ at }: ShardCheck): boolean {
  return existsSync(at) && readdirSync(at).some((name) => /^(state|segment-\d+)\.db$/.test(name));
}

/**
 * All of it is in `recent.db`, if there is anything.
 * @param ownThrough 0 beside a state that holds nothing yet, -1 without
 */
function verifyRecentAlone(check: ShardCheck, recent: RecentPart | undefined, ownThrough: number): VerifiedShard {
  if (recent === undefined) return { flushedThrough: 0, term: 0, streams: 0 };
  const { shard, findings } = check;
  const { row, source, file } = recent;
  const fault: Fault = (where, what) => findings.add("damaged", file, `shard ${shard}, ${where}`, what);
  const { flushed_through, term, streams } = row;
  if (row.own_through > ownThrough)
    findings.add("missing", `${check.name}/${STATE}`, "this name", `${file} says that the shard has files of its own`);
  else {
    const found = readStreams(check, { flushedThrough: flushed_through, streams }, [source], fault);
    for (const { name, placedThrough } of found.reaches.values())
      if (placedThrough > 0) fault(`stream ${name}`, "it has placed entries, but the shard has no files of its own");
  }
  return { flushedThrough: flushed_through, term, streams };
}

function verifyState(check: ShardCheck, state: SqlDatabase, runs: number, fault: Fault): VerifiedShard | undefined {
  const row = verifyShardRow(check, state, fault);
  if (row === undefined) return undefined;
  const layers = new LayerCheck(state, fault);
  const own = layers.verify(check.shard, row.layers, "table shard");
  layers.finish();
  if (own === undefined) return undefined;
  const reach = { flushedThrough: row.flushed_through, term: row.term, streams: row.streams };
  const recent = countingLayers(check, row);
  if (recent !== undefined) {
    reach.flushedThrough = recent.row.flushed_through;
    reach.term = Math.max(reach.term, recent.row.term);
    reach.streams = Math.max(reach.streams, recent.row.streams);
  }
  const sources = recent === undefined ? [own] : [own, recent.source];
  const { shard, findings } = check;
  const streamFault: Fault =
    recent === undefined
      ? fault
      : (where, what) => findings.add("disagrees", recent.file, `shard ${shard}, ${where}`, `with state.db: ${what}`);
  let streams: StreamCheck | undefined;
  const isWhole = isSound(findings, () => {
    streams = readStreams(check, reach, sources, streamFault);
    verifyNames(state, row.streams, streams.reaches, fault);
  });
  const segments = listSegments(state);
  verifySegmentRows(check, row, segments, fault);
  verifyPlaced(check, state, { row, segments, runs, streams: isWhole ? streams : undefined }, fault);
  return reach;
}

/** What `recent.db` has on top of the state, if it counts. */
function countingLayers({ shard, name, recent, findings, report }: ShardCheck, row: ShardRow): RecentPart | undefined {
  if (recent === undefined) return undefined;
  const { flushed_through, own_through } = recent.row;
  const hasLayers = recent.source.stack.layers.length > 0;
  if (flushed_through <= row.flushed_through) {
    if (hasLayers)
      report.notes.push(
        `${recent.file} has layers of shard ${shard} that ${name}/${STATE} has, too; the next flush removes them`,
      );
    return undefined;
  }
  const fault = (what: string): void => findings.add("disagrees", recent.file, `shard ${shard}`, what);
  if (own_through !== row.flushed_through)
    fault(`it is on top of offset ${own_through} of ${name}/${STATE}, which ends with ${row.flushed_through}`);
  if (!hasLayers)
    fault(`${name}/${STATE} is said to reach to offset ${flushed_through}, and ends with ${row.flushed_through}`);
  return recent;
}

function readStreams(
  check: ShardCheck,
  reach: { flushedThrough: number; streams: number },
  sources: readonly LayerSource[],
  fault: Fault,
): StreamCheck {
  const streams = new StreamCheck(reach, fault);
  streams.read(sources);
  const { report } = check;
  report.streams += streams.reaches.size;
  report.entries += streams.entries;
  report.keys += streams.keys;
  report.cells += streams.cells;
  for (const [name, seqs] of check.inLog ?? []) verifyHead(check, name, streams.heads.get(name) ?? 0, seqs);
  return streams;
}

/** The log goes on where the stream's entries in files end, or before. */
function verifyHead({ shard, findings }: ShardCheck, name: string, head: number, { firstSeq, lastSeq }: LogSeqs): void {
  const fault = (what: string): void => findings.add("disagrees", "wal", `shard ${shard}, stream ${name}`, what);
  if (firstSeq > head + 1) fault(`begins with seq ${firstSeq}, but the shard's files end with ${head}`);
  if (lastSeq < head) fault(`ends with seq ${lastSeq}, but the shard's files with ${head}`);
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

type StatePart = {
  row: ShardRow;
  segments: SegmentRow[];
  /** How many rows table `run` has. */
  runs: number;
  /** Undefined when they are not to be believed. */
  streams: StreamCheck | undefined;
};

function verifyPlaced(
  check: ShardCheck,
  state: SqlDatabase,
  { row, segments, runs, streams }: StatePart,
  fault: Fault,
): void {
  const { report, findings } = check;
  const keys = new KeyCheck(state, fault);
  const placed = new PlacedCheck(state, row, keys, fault);
  const isDirectorySound = isSound(findings, () => {
    if (streams !== undefined) placed.begin(streams.reaches);
    if (runs > 0 || row.lanes > 0) keys.readIndex();
  });
  const isBelieved = isDirectorySound && streams !== undefined;
  let parts = 0;
  const areBlocksSound = isSound(findings, () => {
    for (const rows of Map.groupBy(segments, (segment) => segment.file).values()) {
      parts += verifySegmentFile(check, rows, isBelieved ? placed : undefined);
    }
  });
  if (isBelieved && areBlocksSound) {
    if (parts !== runs) fault("table run", `${runs} runs, segments have ${parts}`);
    placed.finish();
    keys.finish();
  }
  report.entries += placed.entries;
  report.keys += keys.count;
}

/** One file, with the segments that share it. @returns how many runs its blocks have */
function verifySegmentFile(check: ShardCheck, rows: SegmentRow[], placed: PlacedCheck | undefined): number {
  const { report } = check;
  const [{ file, status }] = rows as [SegmentRow, ...SegmentRow[]];
  const counted = rows.reduce((sum, row) => sum + row.blocks, 0);
  const name = segmentName(file);
  const target = { path: join(check.at, name), file: `${check.name}/${name}`, format: SEGMENT_FORMAT };
  const parts = withDatabase(check, { ...target, schema: () => SEGMENT_FORMAT.schema }, (db, fault) => {
    const { blocks, last } = db
      .sql("SELECT count(*) AS blocks, coalesce(max(block), 0) AS last FROM block")
      .get<{ blocks: number; last: number }>()!;
    if (last !== blocks || blocks < counted || (blocks > counted && status === SEGMENT_SEALED))
      fault("table block", `${blocks} blocks, the last is ${last}; state.db says ${counted}`);
    else if (blocks > counted)
      report.notes.push(`${target.file} has ${blocks - counted} blocks of a flush that a crash cut short`);
    let found = 0;
    for (const row of rows) {
      for (let block = 1; block <= row.blocks; block++) found += verifyBlock(check, db, row, block, placed, fault);
    }
    return found;
  });
  return parts ?? 0;
}

function verifyBlock(
  { shard, report }: ShardCheck,
  db: SqlDatabase,
  { segment, file, base }: SegmentRow,
  block: number,
  placed: PlacedCheck | undefined,
  fault: Fault,
): number {
  report.blocks++;
  try {
    const parts = readBlockParts(readBlock(db, { shard, file, block: base + block }));
    for (const { lane, streamNo, run } of parts) placed?.run(lane, streamNo, run, { segment, block });
    return parts.length;
  } catch (error) {
    if (!(error instanceof CorruptionError || error instanceof RangeError)) throw error;
    fault(blockAt(base + block), messageOf(error, db.file).replace(` at ${blockAt(base + block)}`, ""));
    return 0;
  }
}
