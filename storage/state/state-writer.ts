/**
 * The writing side of a shard's `state.db`: rows with their checksums. Everything takes effect at the end of the caller's transaction; see
 * storage/segment/shard-writer.ts for the order of the two files.
 */
import type { CellChanges } from "../segment/flush-image.ts";
import type { SqlDatabase, SqlValue } from "../sqlite.ts";
import type { ShardId } from "../types.ts";
import { rowCrc, type Table } from "./row-crc.ts";
import {
  type ErasureRow,
  PLACES_SCHEMA,
  type RecentRow,
  type RunRow,
  type SegmentRow,
  type ShardRow,
  type StreamRow,
  type TailRow,
} from "./state-file.ts";
import { findLane, findShard, findStream, findStreamByNo, hasPlaces } from "./state-reader.ts";
import { appendLane, readPage, STRETCHES_MAX, type Stretch, writePage } from "./timeline.ts";

/** A row as it is given to the functions here: they add `crc`. */
export type Unsigned<Row> = Omit<Row, "crc">;

const PLACES = {
  shard: "?, ?, ?, ?, ?, ?, ?, ?, ?",
  segment: "?, ?, ?, ?, ?, ?, ?",
  stream: "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?",
  recent: "?, ?, ?, ?, ?",
  timeline: "?, ?, ?, ?",
  lane: "?, ?, ?, ?",
  run: "?, ?, ?, ?, ?, ?, ?",
  tail: "?, ?, ?, ?, ?, ?, ?, ?",
  cell: "?, ?, ?, ?",
  erasure: "?, ?, ?, ?, ?, ?",
} as const;

function put(state: SqlDatabase, table: keyof typeof PLACES & Table, ...values: SqlValue[]): void {
  state.sql(`INSERT OR REPLACE INTO ${table} VALUES (${PLACES[table]})`).run(...values, rowCrc(table, values));
}

export function readShardRow(state: SqlDatabase, shard: ShardId): Unsigned<ShardRow> {
  const row = findShard(state);
  if (row === undefined) {
    return { shard, flush: 0, flushed_through: 0, term: 0, streams: 0, lanes: 0, files: 0, erasures: 0 };
  }
  if (row.shard !== shard) throw new RangeError(`${state.file} is of shard ${row.shard}, not ${shard}`);
  return row;
}

export function writeShardRow(state: SqlDatabase, row: Unsigned<ShardRow>): void {
  const { shard, flush, flushed_through, term, streams, lanes, files, erasures } = row;
  put(state, "shard", shard, flush, flushed_through, term, streams, lanes, files, erasures);
}

export function writeSegmentRow(state: SqlDatabase, row: Unsigned<SegmentRow>): void {
  put(state, "segment", row.segment, row.file, row.base, row.blocks, row.status, row.packing);
}

export function writeRunRow(state: SqlDatabase, row: Unsigned<RunRow>): void {
  put(state, "run", row.lane, row.last_seq, row.first_seq, row.segment, row.block, row.entries);
}

export function writeTailRow(state: SqlDatabase, row: Unsigned<TailRow>): void {
  put(state, "tail", row.tail, row.first_seq, row.last_seq, row.entries, row.codec, row.raw_bytes, row.data);
}

export function deleteTailRow(state: SqlDatabase, tail: number): void {
  state.sql("DELETE FROM tail WHERE tail = ?").run(tail);
}

export function writeRecentRow(state: SqlDatabase, row: Unsigned<RecentRow>): void {
  put(state, "recent", row.recent, row.codec, row.raw_bytes, row.data);
}

export function deleteRecentRow(state: SqlDatabase, recent: number): void {
  state.sql("DELETE FROM recent WHERE recent = ?").run(recent);
}

export function addErasure(state: SqlDatabase, row: Unsigned<Omit<ErasureRow, "id">>): void {
  const { id } = state.sql("SELECT coalesce(max(id), 0) + 1 AS id FROM erasure").get<{ id: number }>()!;
  put(state, "erasure", id, row.stream_no, row.lane, row.from_seq, row.to_seq);
}

export function deleteErasure(state: SqlDatabase, id: number): void {
  state.sql("DELETE FROM erasure WHERE id = ?").run(id);
}

export function countErasures(state: SqlDatabase): number {
  if (!hasPlaces(state)) return 0;
  return state.sql("SELECT count(*) AS rows FROM erasure").get<{ rows: number }>()!.rows;
}

/** Makes the tables for items that are placed; a transaction must be open. */
export function createPlaces(state: SqlDatabase): void {
  if (!hasPlaces(state)) state.exec(PLACES_SCHEMA);
}

/** Cells of streams known by now. @throws RangeError for a cell of a stream that nobody numbered. */
export function writeCells(state: SqlDatabase, cells: CellChanges): void {
  const clear = state.sql("DELETE FROM cell WHERE stream_no = ? AND key = ?");
  for (const [name, changes] of cells) {
    const stream = findStream(state, name);
    if (stream === undefined) throw new RangeError(`${state.file}: a cell of the unknown stream ${name}`);
    for (const [key, value] of changes) {
      if (value === null) clear.run(stream.stream_no, key);
      else put(state, "cell", stream.stream_no, key, value);
    }
  }
}

/** The row of a stream as it stands. @throws RangeError when its number or its name is taken by another. */
function streamRow(state: SqlDatabase, streamNo: number, name: string): Unsigned<StreamRow> | undefined {
  const row = findStream(state, name);
  if (row?.stream_no === streamNo) return row;
  if (row !== undefined || findStreamByNo(state, streamNo) !== undefined) {
    throw new RangeError(`${state.file}: stream ${name} or number ${streamNo} is known as another`);
  }
  return undefined;
}

/** One stream during a flush: its row, and its timeline as it grows. */
export class StreamUpdate {
  readonly #state: SqlDatabase;
  readonly row: Unsigned<StreamRow>;
  readonly isNew: boolean;
  #stretches: Stretch[] | undefined;

  constructor(state: SqlDatabase, streamNo: number, name: string) {
    const known = streamRow(state, streamNo, name);
    this.#state = state;
    this.isNew = known === undefined;
    const head = { stream_no: streamNo, name, head_seq: 0, head_offset: 0, placed_seq: 0 };
    this.row = known ?? { ...head, chunks: 0, open: 0, items: 0, bytes: 0, page_seq: 0, page: new Uint8Array(0) };
  }

  /** Another entry. @throws RangeError when `seq` is not the next. */
  advance(seq: number, offset: number): void {
    const { row } = this;
    if (seq !== row.head_seq + 1) {
      throw new RangeError(`${this.#state.file}: ${row.name} goes on with seq ${seq} after ${row.head_seq}`);
    }
    row.head_seq = seq;
    row.head_offset = offset;
  }

  /** The next entry is placed in this lane. */
  place(seq: number, lane: number): void {
    const stretches = (this.#stretches ??= readPage(this.row.page));
    if (stretches.length >= STRETCHES_MAX && stretches.at(-1)!.lane !== lane) this.#closePage(seq, stretches);
    appendLane(stretches, lane);
    this.row.placed_seq = seq;
  }

  write(): void {
    const { row } = this;
    if (this.#stretches !== undefined) row.page = writePage(this.#stretches);
    const { stream_no, name, head_seq, head_offset, placed_seq, chunks, open, items, bytes, page_seq, page } = row;
    const changing = [head_seq, head_offset, placed_seq, chunks, open, items, bytes, page_seq, page];
    if (this.isNew) return put(this.#state, "stream", stream_no, name, ...changing);
    // No REPLACE: the name stays, and so does its place in the index.
    const sql = `UPDATE stream SET head_seq = ?, head_offset = ?, placed_seq = ?, chunks = ?, open = ?, items = ?, bytes = ?, page_seq = ?, page = ?, crc = ?
      WHERE stream_no = ?`;
    this.#state.sql(sql).run(...changing, rowCrc("stream", [stream_no, name, ...changing]), stream_no);
  }

  #closePage(nextSeq: number, stretches: Stretch[]): void {
    put(this.#state, "timeline", this.row.stream_no, this.row.page_seq, writePage(stretches));
    stretches.length = 0;
    this.row.page_seq = nextSeq;
  }
}

/** Numbers of lanes, given out by first appearance in the shard. */
export class LaneNumbers {
  readonly #state: SqlDatabase;
  count: number;

  constructor(state: SqlDatabase, count: number) {
    this.#state = state;
    this.count = count;
  }

  of(streamNo: number, name: string): number {
    const known = findLane(this.#state, streamNo, name);
    if (known !== undefined) return known;
    put(this.#state, "lane", streamNo, name, ++this.count);
    return this.count;
  }
}
