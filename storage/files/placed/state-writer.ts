/**
 * The writing side of a shard's `state.db`: rows with their checksums. Everything takes effect at the end of the
 * caller's transaction; see storage/files/flush/shard-writer.ts for the order of the two files.
 */
import { NO_LAYERS, writeStack } from "../layers/page-table.ts";
import { GrowingWriter } from "../../encoding/byte-writer.ts";
import type { SqlDatabase, SqlValue } from "../sqlite/database.ts";
import type { ShardId } from "../../types.ts";
import { rowCrc, type Table } from "../sqlite/row-crc.ts";
import {
  type ErasureRow,
  OPEN_PAGE,
  PLACED_SCHEMA,
  type RunRow,
  type SegmentRow,
  type ShardRow,
  type TailRow,
} from "./state-file.ts";
import { findLane, findShard, hasPlacedTables, NAMES_PER_PAGE, namesOfPage, openTimelinePage } from "./state-reader.ts";
import { appendLane, STRETCHES_MAX, type TimelinePage, writePage } from "./timeline.ts";

/** A row as it is given to the functions here: they add `crc`. */
export type Unsigned<Row> = Omit<Row, "crc">;

const PARAMETERS = {
  shard: "?, ?, ?, ?, ?, ?, ?, ?, ?, ?",
  name: "?, ?, ?",
  segment: "?, ?, ?, ?, ?, ?, ?",
  timeline: "?, ?, ?, ?",
  lane: "?, ?, ?, ?",
  run: "?, ?, ?, ?, ?, ?, ?",
  tail: "?, ?, ?, ?, ?, ?, ?, ?",
  erasure: "?, ?, ?, ?, ?, ?",
} as const;

function put(state: SqlDatabase, table: keyof typeof PARAMETERS & Table, ...values: SqlValue[]): void {
  state.sql(`INSERT OR REPLACE INTO ${table} VALUES (${PARAMETERS[table]})`).run(...values, rowCrc(table, values));
}

export function readShardRow(state: SqlDatabase, shard: ShardId): Unsigned<ShardRow> {
  const row = findShard(state);
  if (row === undefined) {
    const none = { flush: 0, flushed_through: 0, term: 0, streams: 0, lanes: 0, files: 0, erasures: 0 };
    return { shard, ...none, layers: writeStack(NO_LAYERS) };
  }
  if (row.shard !== shard) throw new RangeError(`${state.file} is of shard ${row.shard}, not ${shard}`);
  return row;
}

export function writeShardRow(state: SqlDatabase, row: Unsigned<ShardRow>): void {
  const { shard, flush, flushed_through, term, streams, lanes, files, erasures, layers } = row;
  put(state, "shard", shard, flush, flushed_through, term, streams, lanes, files, erasures, layers);
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

export function addErasure(state: SqlDatabase, row: Unsigned<Omit<ErasureRow, "id">>): void {
  const { id } = state.sql("SELECT coalesce(max(id), 0) + 1 AS id FROM erasure").get<{ id: number }>()!;
  put(state, "erasure", id, row.stream_no, row.lane, row.from_seq, row.to_seq);
}

export function deleteErasure(state: SqlDatabase, id: number): void {
  state.sql("DELETE FROM erasure WHERE id = ?").run(id);
}

export function countErasures(state: SqlDatabase): number {
  if (!hasPlacedTables(state)) return 0;
  return state.sql("SELECT count(*) AS rows FROM erasure").get<{ rows: number }>()!.rows;
}

/** Makes the tables for items that are placed; a transaction must be open. */
export function createPlacedTables(state: SqlDatabase): void {
  if (!hasPlacedTables(state)) state.exec(PLACED_SCHEMA);
}

/** Names of streams that follow those that are there. @throws RangeError when they leave one out */
export function addNames(state: SqlDatabase, streams: readonly { streamNo: number; name: string }[]): void {
  for (const [page, added] of Map.groupBy(streams, ({ streamNo }) => Math.floor((streamNo - 1) / NAMES_PER_PAGE))) {
    const names = namesOfPage(state, page);
    for (const { streamNo, name } of added.toSorted((a, b) => a.streamNo - b.streamNo)) {
      if (streamNo !== page * NAMES_PER_PAGE + names.length + 1)
        throw new RangeError(`${state.file}: stream ${name} has number ${streamNo}, the one before it is missing`);
      names.push(name);
    }
    const out = new GrowingWriter(16 * names.length);
    for (const name of names) out.str8(name);
    put(state, "name", page, out.written());
  }
}

/** The timeline of one stream during a flush, as it grows. */
export class TimelineUpdate {
  readonly #state: SqlDatabase;
  readonly #streamNo: number;
  readonly #page: TimelinePage;

  constructor(state: SqlDatabase, streamNo: number) {
    this.#state = state;
    this.#streamNo = streamNo;
    this.#page = openTimelinePage(state, streamNo) ?? { first: 1, stretches: [] };
  }

  /** The next entry is placed in this lane. */
  place(seq: number, lane: number): void {
    const { stretches } = this.#page;
    if (stretches.length >= STRETCHES_MAX && stretches.at(-1)!.lane !== lane) this.#closePage(seq);
    appendLane(stretches, lane);
  }

  finish(): void {
    put(this.#state, "timeline", this.#streamNo, OPEN_PAGE, writePage(this.#page));
  }

  #closePage(nextSeq: number): void {
    put(this.#state, "timeline", this.#streamNo, this.#page.first, writePage(this.#page));
    this.#page.stretches.length = 0;
    this.#page.first = nextSeq;
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
