/** Questions to a shard's `state.db`, but to its key tables (key-reader.ts). All of them go by a primary key or a unique name, and every row is checked. */
import { CorruptionError } from "../errors.ts";
import type { SqlDatabase } from "../sqlite.ts";
import { checkedRow, checkedRows, type Table } from "./row-crc.ts";
import {
  CHUNKS_MAX,
  type CellRow,
  type ErasureRow,
  type LaneRow,
  type RecentRow,
  type RunRow,
  type SegmentRow,
  type ShardRow,
  type StreamRow,
  type TailRow,
} from "./state-file.ts";
import { readPage, type Stretch } from "./timeline.ts";

function one<Row extends { crc: number }>(state: SqlDatabase, table: Table, row: Row | undefined): Row | undefined {
  return row && checkedRow(state, table, row);
}

export function findShard(state: SqlDatabase): ShardRow | undefined {
  return one(state, "shard", state.sql("SELECT * FROM shard").get<ShardRow>());
}

/** Whether anything of the shard was ever placed: without, only the tables of `STATE_FORMAT` are there. */
export function hasPlaces(state: SqlDatabase): boolean {
  return state.sql("SELECT 1 FROM sqlite_schema WHERE name = 'run'").get() !== undefined;
}

export function findStream(state: SqlDatabase, name: string): StreamRow | undefined {
  return one(state, "stream", state.sql("SELECT * FROM stream WHERE name = ?").get<StreamRow>(name));
}

export function findStreamByNo(state: SqlDatabase, streamNo: number): StreamRow | undefined {
  return one(state, "stream", state.sql("SELECT * FROM stream WHERE stream_no = ?").get<StreamRow>(streamNo));
}

/** Streams whose newest entry has an offset above this: a walk over all of them. */
export function streamsBeyond(state: SqlDatabase, offset: number): StreamRow[] {
  return checkedRows(state, "stream", state.sql("SELECT * FROM stream WHERE head_offset > ?").all<StreamRow>(offset));
}

export function findLane(state: SqlDatabase, streamNo: number, name: string): number | undefined {
  const row = state.sql("SELECT * FROM lane WHERE stream_no = ? AND name = ?").get<LaneRow>(streamNo, name);
  return one(state, "lane", row)?.lane;
}

export function lanesOfStream(state: SqlDatabase, streamNo: number): LaneRow[] {
  return checkedRows(state, "lane", state.sql("SELECT * FROM lane WHERE stream_no = ?").all<LaneRow>(streamNo));
}

export function findCell(state: SqlDatabase, streamNo: number, key: string): Uint8Array | undefined {
  const row = state.sql("SELECT * FROM cell WHERE stream_no = ? AND key = ?").get<CellRow>(streamNo, key);
  return one(state, "cell", row)?.value;
}

export function listCells(state: SqlDatabase, streamNo: number): CellRow[] {
  return checkedRows(state, "cell", state.sql("SELECT * FROM cell WHERE stream_no = ?").all<CellRow>(streamNo));
}

export function findSegment(state: SqlDatabase, segment: number): SegmentRow {
  const row = state.sql("SELECT * FROM segment WHERE segment = ?").get<SegmentRow>(segment);
  if (row === undefined) throw new CorruptionError(state.file, "table segment", `segment ${segment} is not listed`);
  return checkedRow(state, "segment", row);
}

export function listSegments(state: SqlDatabase): SegmentRow[] {
  return checkedRows(state, "segment", state.sql("SELECT * FROM segment ORDER BY segment").all<SegmentRow>());
}

/** The first two runs of a lane whose last seq is at least `low`. */
export function runsFrom(state: SqlDatabase, lane: number, low: number): RunRow[] {
  const rows = state.sql("SELECT * FROM run WHERE lane = ? AND last_seq >= ? ORDER BY last_seq LIMIT 2");
  return checkedRows(state, "run", rows.all<RunRow>(lane, low));
}

/** The last two runs of a lane whose last seq is below `before`, falling. */
export function runsBelow(state: SqlDatabase, lane: number, before: number): RunRow[] {
  const rows = state.sql("SELECT * FROM run WHERE lane = ? AND last_seq < ? ORDER BY last_seq DESC LIMIT 2");
  return checkedRows(state, "run", rows.all<RunRow>(lane, before));
}

/** All runs of a lane with an entry in `[low, high]`. */
export function runsBetween(state: SqlDatabase, lane: number, low: number, high: number): RunRow[] {
  const rows = state.sql("SELECT * FROM run WHERE lane = ? AND last_seq >= ? AND first_seq <= ? ORDER BY last_seq");
  return checkedRows(state, "run", rows.all<RunRow>(lane, low, high));
}

/** The chunks of a lane's tail, rising. */
export function tailOf(state: SqlDatabase, lane: number): TailRow[] {
  const first = lane * CHUNKS_MAX;
  const rows = state.sql("SELECT * FROM tail WHERE tail >= ? AND tail < ? ORDER BY tail");
  return checkedRows(state, "tail", rows.all<TailRow>(first, first + CHUNKS_MAX));
}

/** Rows of recent items of a stream, rising, from this number on. */
export function recentFrom(state: SqlDatabase, streamNo: number, from = streamNo * CHUNKS_MAX): RecentRow[] {
  const rows = state.sql("SELECT * FROM recent WHERE recent >= ? AND recent < ? ORDER BY recent");
  return checkedRows(state, "recent", rows.all<RecentRow>(from, (streamNo + 1) * CHUNKS_MAX));
}

export function erasuresOf(state: SqlDatabase, streamNo: number): ErasureRow[] {
  const rows = state.sql("SELECT * FROM erasure WHERE stream_no = ?").all<ErasureRow>(streamNo);
  return checkedRows(state, "erasure", rows);
}

export function listErasures(state: SqlDatabase): ErasureRow[] {
  if (!hasPlaces(state)) return [];
  return checkedRows(state, "erasure", state.sql("SELECT * FROM erasure").all<ErasureRow>());
}

/** A page of a stream's timeline: the lanes of its entries from `first` on. */
export type TimelinePage = { first: number; stretches: Stretch[] };

/** The lane of an entry that was placed. */
export function laneAt(state: SqlDatabase, stream: StreamRow, seq: number): number {
  const { first, stretches } = timelinePage(state, stream, seq);
  let end = first;
  for (const { lane, count } of stretches) if ((end += count) > seq) return lane;
  throw new CorruptionError(state.file, "table timeline", `seq ${seq} of ${stream.name} is missing`);
}

/** The page that has `seq`, which was placed. */
export function timelinePage(state: SqlDatabase, stream: StreamRow, seq: number): TimelinePage {
  if (seq >= stream.page_seq) return decodedPage(state, "stream", stream.page_seq, stream.page);
  const row = state
    .sql("SELECT * FROM timeline WHERE stream_no = ? AND first_seq <= ? ORDER BY first_seq DESC LIMIT 1")
    .get<{ first_seq: number; page: Uint8Array; crc: number }>(stream.stream_no, seq);
  if (row === undefined)
    throw new CorruptionError(state.file, "table timeline", `seq ${seq} of ${stream.name} is missing`);
  checkedRow(state, "timeline", row);
  return decodedPage(state, "timeline", row.first_seq, row.page);
}

function decodedPage(state: SqlDatabase, table: Table, first: number, page: Uint8Array): TimelinePage {
  return { first, stretches: decoded(state, table, () => readPage(page)) };
}

/** Checked bytes that make no sense were written by a bug, or by somebody with a checksum tool. */
export function decoded<T>(state: SqlDatabase, table: Table, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new CorruptionError(state.file, `table ${table}`, error.message);
  }
}
