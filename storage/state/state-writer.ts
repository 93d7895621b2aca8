/**
 * The writing side of a shard's `state.db`: the statements of one flush. Everything between `begin` and the end of the caller's transaction
 * takes effect at once; see storage/segment/shard-writer.ts for the order of the two files.
 */
import type { CellChanges } from "../segment/flush-image.ts";
import type { FlushJob } from "../segment/types.ts";
import type { SqlDatabase } from "../sqlite.ts";
import type { Offset, Seq, ShardId } from "../types.ts";
import type { RunRow, SegmentRow, ShardRow } from "./state-file.ts";

export function readShardRow(state: SqlDatabase, shard: ShardId): ShardRow {
  const row = state.sql("SELECT * FROM shard").get<ShardRow>();
  if (row === undefined) return { shard, flush: 0, flushed_through: 0, term: 0, streams: 0 };
  if (row.shard !== shard) throw new RangeError(`${state.file} is of shard ${row.shard}, not ${shard}`);
  return row;
}

export function readSegmentRows(state: SqlDatabase): SegmentRow[] {
  return state.sql("SELECT segment, blocks, sealed FROM segment ORDER BY segment").all<SegmentRow>();
}

export function writeSegmentRow(state: SqlDatabase, row: SegmentRow): void {
  state.sql("INSERT OR REPLACE INTO segment VALUES (?, ?, ?)").run(row.segment, row.blocks, row.sealed);
}

export function writeShardRow(state: SqlDatabase, row: ShardRow): void {
  state
    .sql("INSERT OR REPLACE INTO shard VALUES (?, ?, ?, ?, ?)")
    .run(row.shard, row.flush, row.flushed_through, row.term, row.streams);
}

/** Heads as the job lists them; returns how many streams are new. @throws RangeError when a number or a name is taken by another. */
export function writeHeads(state: SqlDatabase, streams: FlushJob["streams"]): number {
  let added = 0;
  const update = state.sql("UPDATE stream SET head_seq = ? WHERE stream_no = ? AND name = ?");
  const insert = state.sql("INSERT INTO stream VALUES (?, ?, ?) ON CONFLICT DO NOTHING");
  for (const { name, streamNo, headSeq } of streams) {
    if (update.run(headSeq, streamNo, name) === 1) continue;
    if (insert.run(streamNo, name, headSeq) === 0) {
      throw new RangeError(`${state.file}: stream ${name} or number ${streamNo} is known as another`);
    }
    added++;
  }
  return added;
}

/** Head of a stream before this flush; 0 when it is new. */
export function readHead(state: SqlDatabase, streamNo: number): Seq {
  const row = state.sql("SELECT head_seq FROM stream WHERE stream_no = ?").get<{ head_seq: Seq }>(streamNo);
  return row?.head_seq ?? (0 as Seq);
}

/** Cells of streams known by now. @throws RangeError for a cell of a stream that nobody numbered. */
export function writeCells(state: SqlDatabase, cells: CellChanges): void {
  const find = state.sql("SELECT stream_no FROM stream WHERE name = ?");
  const put = state.sql("INSERT OR REPLACE INTO cell VALUES (?, ?, ?)");
  const clear = state.sql("DELETE FROM cell WHERE stream_no = ? AND key = ?");
  for (const [stream, changes] of cells) {
    const row = find.get<{ stream_no: number }>(stream);
    if (row === undefined) throw new RangeError(`${state.file}: a cell of the unknown stream ${stream}`);
    for (const [key, value] of changes) {
      if (value === null) clear.run(row.stream_no, key);
      else put.run(row.stream_no, key, value);
    }
  }
}

/** Writes runs and their lanes, stream by stream: it remembers the lane numbers of one. */
export class RunDirectory {
  readonly #state: SqlDatabase;
  readonly #laneNos = new Map<string, number>();
  #streamNo = -1;

  constructor(state: SqlDatabase) {
    this.#state = state;
  }

  add(streamNo: number, run: RunRow, entries: number, lanes: string[]): void {
    if (streamNo !== this.#streamNo) this.#laneNos.clear();
    this.#streamNo = streamNo;
    this.#state
      .sql("INSERT INTO run VALUES (?, ?, ?, ?, ?)")
      .run(streamNo, run.last_seq, run.segment, run.block, entries);
    const insert = this.#state.sql("INSERT INTO lane_run VALUES (?, ?, ?)");
    for (const lane of lanes) insert.run(streamNo, this.#laneNo(streamNo, lane), run.last_seq);
  }

  #laneNo(streamNo: number, lane: string): number {
    const known = this.#laneNos.get(lane);
    if (known !== undefined) return known;
    const row = this.#state
      .sql("SELECT lane_no FROM lane WHERE stream_no = ? AND name = ?")
      .get<{ lane_no: number }>(streamNo, lane);
    const laneNo = row?.lane_no ?? this.#addLane(streamNo, lane);
    this.#laneNos.set(lane, laneNo);
    return laneNo;
  }

  #addLane(streamNo: number, lane: string): number {
    const { lanes } = this.#state
      .sql("SELECT count(*) AS lanes FROM lane WHERE stream_no = ?")
      .get<{ lanes: number }>(streamNo)!;
    this.#state.sql("INSERT INTO lane VALUES (?, ?, ?)").run(streamNo, lane, lanes);
    return lanes;
  }
}

export function nextShardRow(row: ShardRow, job: FlushJob, added: number): ShardRow {
  return {
    shard: row.shard,
    flush: row.flush + 1,
    flushed_through: job.throughOffset as Offset,
    term: job.term,
    streams: row.streams + added,
  };
}
