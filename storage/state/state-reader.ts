/** Questions to a shard's `state.db`. All of them go by a primary key or a unique name, and every row is checked. */
import { CorruptionError } from "../errors.ts";
import { countedKey, keyHash, type CountedKey } from "../segment/key-shape.ts";
import { asBuffer, VarReader } from "../segment/varint.ts";
import type { SqlDatabase } from "../sqlite.ts";
import type { KeyHit } from "../types.ts";
import { keyPosition, readKeyPage, type PageKey } from "./key-page.ts";
import { checkedRow, checkedRows, type Table } from "./row-crc.ts";
import {
  CHUNKS_MAX,
  OPEN_PAGE,
  type CellRow,
  type ErasureRow,
  type KeyHashRow,
  type KeyPageRow,
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

/** The page with the highest counters of a prefix. */
export function findOpenKeyPage(state: SqlDatabase, streamNo: number, prefix: string): KeyPageRow | undefined {
  const sql = "SELECT * FROM key_page WHERE stream_no = ? AND prefix = ? AND first = ?";
  return one(state, "key_page", state.sql(sql).get<KeyPageRow>(streamNo, prefix, OPEN_PAGE));
}

/** The closed page of a prefix that has the counter, or would. */
export function findClosedKeyPage(state: SqlDatabase, streamNo: number, counted: CountedKey): KeyPageRow | undefined {
  const sql = `SELECT * FROM key_page WHERE stream_no = ? AND prefix = ? AND first >= 0 AND first <= ?
    ORDER BY first DESC LIMIT 1`;
  return one(state, "key_page", state.sql(sql).get<KeyPageRow>(streamNo, counted.prefix, counted.counter));
}

export function keysOfPage(state: SqlDatabase, row: KeyPageRow): PageKey[] {
  return decoded(state, "key_page", () => readKeyPage(row.page));
}

export function keysOfHash(state: SqlDatabase, streamNo: number, key: string): KeyHashRow[] {
  const rows = state.sql("SELECT * FROM key_hash WHERE stream_no = ? AND hash = ? ORDER BY seq");
  return checkedRows(state, "key_hash", rows.all<KeyHashRow>(streamNo, keyHash(key)));
}

/**
 * Where a key points. Of a key that occurs twice, the first.
 * @param hasKey whether the entry at a seq has this key: a hash only says that it may
 */
export function findKey(
  state: SqlDatabase,
  streamNo: number,
  key: string,
  hasKey: (seq: number) => boolean,
): KeyHit | undefined {
  const counted = countedKey(key);
  if (counted !== undefined) return findCounted(state, streamNo, counted);
  const rows = keysOfHash(state, streamNo, key);
  const ofEntry = rows.find((row) => row.alone === null && hasKey(row.seq));
  if (ofEntry !== undefined) return { seq: ofEntry.seq, value: null } as KeyHit;
  for (const { seq, alone } of rows) {
    const found = alone === null ? undefined : aloneKey(alone);
    if (found?.key === key) return { seq, value: found.value } as KeyHit;
  }
  return undefined;
}

function findCounted(state: SqlDatabase, streamNo: number, counted: CountedKey): KeyHit | undefined {
  const open = findOpenKeyPage(state, streamNo, counted.prefix);
  if (open === undefined) return undefined;
  let keys = keysOfPage(state, open);
  if (!((keys[0]?.counter ?? Infinity) <= counted.counter)) {
    const closed = findClosedKeyPage(state, streamNo, counted);
    if (closed === undefined) return undefined;
    keys = keysOfPage(state, closed);
  }
  const found = keys[keyPosition(keys, counted.counter)];
  return found?.counter === counted.counter ? found.hit : undefined;
}

/** What the `alone` column holds. */
export function aloneKey(alone: Uint8Array): { key: string; value: Uint8Array } {
  const bytes = asBuffer(alone);
  const reader = new VarReader(bytes);
  return { key: reader.str8(), value: bytes.subarray(reader.pos) };
}

/** Checked bytes that make no sense were written by a bug, or by somebody with a checksum tool. */
function decoded<T>(state: SqlDatabase, table: Table, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new CorruptionError(state.file, `table ${table}`, error.message);
  }
}
