/**
 * Questions to a shard's `state.db`, but to its key tables (key-reader.ts). All of them go by a primary key or a unique
 * name, and every row is checked.
 */
import { CorruptionError } from "../../errors.ts";
import { asBuffer, ByteReader } from "../../encoding/byte-reader.ts";
import type { SqlDatabase } from "../sqlite/database.ts";
import { checkedRow, checkedRows, type Table } from "../sqlite/row-crc.ts";
import {
  CHUNKS_MAX,
  OPEN_PAGE,
  type ErasureRow,
  type LaneRow,
  type NameRow,
  type RunRow,
  type SegmentRow,
  type ShardRow,
  type TailRow,
  type TimelineRow,
} from "./state-file.ts";
import { readPage, type TimelinePage } from "./timeline.ts";

function one<Row extends { crc: number }>(state: SqlDatabase, table: Table, row: Row | undefined): Row | undefined {
  return row && checkedRow(state, table, row);
}

/** Undefined where nothing was flushed to it yet. */
export function findShard(state: SqlDatabase): ShardRow | undefined {
  return one(state, "shard", state.sql("SELECT * FROM shard").get<ShardRow>());
}

/** Whether anything of the shard was ever placed: without, only the tables of `STATE_FORMAT` are there. */
export function hasPlacedTables(state: SqlDatabase): boolean {
  return state.sql("SELECT 1 FROM sqlite_schema WHERE name = 'run'").get() !== undefined;
}

export const NAMES_PER_PAGE = 64;

/** The names of up to 64 streams, the one with number page × 64 + 1 first. */
export function namesOfPage(state: SqlDatabase, page: number): string[] {
  const row = one(state, "name", state.sql("SELECT * FROM name WHERE page = ?").get<NameRow>(page));
  if (row === undefined) return [];
  return decoded(state, "name", () => {
    const reader = new ByteReader(asBuffer(row.names));
    const names: string[] = [];
    while (reader.pos < reader.end) names.push(reader.str8());
    return names;
  });
}

/** Of the streams 1 … `streams`. */
export function allNames(state: SqlDatabase, streams: number): string[] {
  const pages = Math.ceil(streams / NAMES_PER_PAGE);
  return Array.from({ length: pages }, (_, page) => namesOfPage(state, page)).flat();
}

export function findStreamName(state: SqlDatabase, streamNo: number): string | undefined {
  return namesOfPage(state, Math.floor((streamNo - 1) / NAMES_PER_PAGE))[(streamNo - 1) % NAMES_PER_PAGE];
}

export function findLane(state: SqlDatabase, streamNo: number, name: string): number | undefined {
  const row = state.sql("SELECT * FROM lane WHERE stream_no = ? AND name = ?").get<LaneRow>(streamNo, name);
  return one(state, "lane", row)?.lane;
}

export function lanesOfStream(state: SqlDatabase, streamNo: number): LaneRow[] {
  return checkedRows(state, "lane", state.sql("SELECT * FROM lane WHERE stream_no = ?").all<LaneRow>(streamNo));
}

export function findSegment(state: SqlDatabase, segment: number): SegmentRow {
  const row = state.sql("SELECT * FROM segment WHERE segment = ?").get<SegmentRow>(segment);
  if (row === undefined) throw new CorruptionError(state.file, "table segment", `segment ${segment} is not listed`);
  return checkedRow(state, "segment", row);
}

export function listSegments(state: SqlDatabase): SegmentRow[] {
  if (!hasPlacedTables(state)) return [];
  return checkedRows(state, "segment", state.sql("SELECT * FROM segment ORDER BY segment").all<SegmentRow>());
}

/** The first two runs of a lane whose last seq is at least `low`. */
export function runsFrom(state: SqlDatabase, lane: number, low: number): RunRow[] {
  const rows = state.sql("SELECT * FROM run WHERE lane = +? AND last_seq >= +? ORDER BY last_seq LIMIT 2");
  return checkedRows(state, "run", rows.all<RunRow>(lane, low));
}

/** The last two runs of a lane whose last seq is below `before`, falling. */
export function runsBelow(state: SqlDatabase, lane: number, before: number): RunRow[] {
  const rows = state.sql("SELECT * FROM run WHERE lane = +? AND last_seq < +? ORDER BY last_seq DESC LIMIT 2");
  return checkedRows(state, "run", rows.all<RunRow>(lane, before));
}

/** All runs of a lane with an entry in `[low, high]`. */
export function runsBetween(state: SqlDatabase, lane: number, low: number, high: number): RunRow[] {
  const rows = state.sql("SELECT * FROM run WHERE lane = +? AND last_seq >= +? AND first_seq <= +? ORDER BY last_seq");
  return checkedRows(state, "run", rows.all<RunRow>(lane, low, high));
}

/** The chunks of a lane's tail, rising. */
export function tailOf(state: SqlDatabase, lane: number): TailRow[] {
  const first = lane * CHUNKS_MAX;
  const rows = state.sql("SELECT * FROM tail WHERE tail >= +? AND tail < +? ORDER BY tail");
  return checkedRows(state, "tail", rows.all<TailRow>(first, first + CHUNKS_MAX));
}

export function erasuresOf(state: SqlDatabase, streamNo: number): ErasureRow[] {
  const rows = state.sql("SELECT * FROM erasure WHERE stream_no = ?").all<ErasureRow>(streamNo);
  return checkedRows(state, "erasure", rows);
}

export function listErasures(state: SqlDatabase): ErasureRow[] {
  if (!hasPlacedTables(state)) return [];
  return checkedRows(state, "erasure", state.sql("SELECT * FROM erasure").all<ErasureRow>());
}

/** The lane of an entry that was placed. */
export function laneAt(state: SqlDatabase, streamNo: number, seq: number): number {
  const { first, stretches } = timelinePage(state, streamNo, seq);
  let end = first;
  for (const { lane, count } of stretches) if ((end += count) > seq) return lane;
  throw noPlace(state, streamNo, seq);
}

/** The page that has `seq`, which was placed. */
export function timelinePage(state: SqlDatabase, streamNo: number, seq: number): TimelinePage {
  const open = openTimelinePage(state, streamNo);
  if (open === undefined) throw noPlace(state, streamNo, seq);
  if (seq >= open.first) return open;
  const row = state
    .sql("SELECT * FROM timeline WHERE stream_no = +? AND first_seq <= +? ORDER BY first_seq DESC LIMIT 1")
    .get<TimelineRow>(streamNo, seq);
  if (row === undefined || row.first_seq === OPEN_PAGE) throw noPlace(state, streamNo, seq);
  checkedRow(state, "timeline", row);
  return decoded(state, "timeline", () => readPage(row.page));
}

/** The one that grows; undefined when nothing of the stream was ever placed. */
export function openTimelinePage(state: SqlDatabase, streamNo: number): TimelinePage | undefined {
  const sql = state.sql("SELECT * FROM timeline WHERE stream_no = ? AND first_seq = ?");
  const row = one(state, "timeline", sql.get<TimelineRow>(streamNo, OPEN_PAGE));
  return row && decoded(state, "timeline", () => readPage(row.page));
}

function noPlace(state: SqlDatabase, streamNo: number, seq: number): CorruptionError {
  return new CorruptionError(state.file, "table timeline", `seq ${seq} of stream number ${streamNo} is missing`);
}

/** Bytes that pass their checksum and make no sense were written by a bug, or forged. */
export function decoded<T>(state: SqlDatabase, table: Table, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new CorruptionError(state.file, `table ${table}`, error.message);
  }
}
