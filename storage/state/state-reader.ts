/** Questions to a shard's `state.db`. All of them go by a primary key or a unique name. */
import type { SqlDatabase } from "../sqlite.ts";
import type { StreamHead } from "../types.ts";
import { keyHash, type CountedKey } from "../segment/key-shape.ts";
import type { KeyRunRow, RunRow, ShardRow } from "./state-file.ts";

export function findShard(state: SqlDatabase): ShardRow | undefined {
  return state.sql("SELECT * FROM shard").get<ShardRow>();
}

export function findStream(state: SqlDatabase, name: string): StreamHead | undefined {
  return state
    .sql("SELECT stream_no AS streamNo, head_seq AS headSeq FROM stream WHERE name = ?")
    .get<StreamHead>(name);
}

export function findStreamName(state: SqlDatabase, streamNo: number): string | undefined {
  return state.sql("SELECT name FROM stream WHERE stream_no = ?").get<{ name: string }>(streamNo)?.name;
}

export function findLane(state: SqlDatabase, streamNo: number, name: string): number | undefined {
  return state.sql("SELECT lane_no FROM lane WHERE stream_no = ? AND name = ?").get<{ lane_no: number }>(streamNo, name)
    ?.lane_no;
}

export function findCell(state: SqlDatabase, streamNo: number, key: string): Uint8Array | undefined {
  return state.sql("SELECT value FROM cell WHERE stream_no = ? AND key = ?").get<{ value: Uint8Array }>(streamNo, key)
    ?.value;
}

export function listCells(state: SqlDatabase, streamNo: number): { key: string; value: Uint8Array }[] {
  return state.sql("SELECT key, value FROM cell WHERE stream_no = ? ORDER BY key").all(streamNo);
}

/** Runs with entries, `last_seq` above `after`, rising. */
export function runsAfter(state: SqlDatabase, streamNo: number, after: number, limit: number): RunRow[] {
  return state
    .sql(
      `SELECT last_seq, segment, block FROM run
       WHERE stream_no = ? AND last_seq > ? AND entries > 0 ORDER BY last_seq, segment, block LIMIT ?`,
    )
    .all<RunRow>(streamNo, after, limit);
}

const LANE_RUNS = `SELECT run.last_seq, run.segment, run.block FROM lane_run
  JOIN run ON run.stream_no = lane_run.stream_no AND run.last_seq = lane_run.last_seq AND run.entries > 0
  WHERE lane_run.stream_no = ? AND lane_run.lane_no = ?`;

/** Runs with entries of the lane, `last_seq` above `after`, rising. */
export function laneRunsAfter(
  state: SqlDatabase,
  streamNo: number,
  lane: number,
  after: number,
  limit: number,
): RunRow[] {
  return state
    .sql(`${LANE_RUNS} AND lane_run.last_seq > ? ORDER BY lane_run.last_seq LIMIT ?`)
    .all<RunRow>(streamNo, lane, after, limit);
}

/** Runs with entries of the lane, `last_seq` below `before`, falling. */
export function laneRunsBefore(
  state: SqlDatabase,
  streamNo: number,
  lane: number,
  before: number,
  limit: number,
): RunRow[] {
  return state
    .sql(`${LANE_RUNS} AND lane_run.last_seq < ? ORDER BY lane_run.last_seq DESC LIMIT ?`)
    .all<RunRow>(streamNo, lane, before, limit);
}

/** The one key run that can hold the key. */
export function findKeyRun(state: SqlDatabase, streamNo: number, key: CountedKey): KeyRunRow | undefined {
  const row = state
    .sql(
      "SELECT * FROM key_run WHERE stream_no = ? AND prefix = ? AND counter_min <= ? ORDER BY counter_min DESC LIMIT 1",
    )
    .get<KeyRunRow>(streamNo, key.prefix, key.counter);
  return row !== undefined && row.counter_max >= key.counter ? row : undefined;
}

/** Runs of the stream that a key run spans, in log order; keys alone count here. */
export function runsOfKeyRun(state: SqlDatabase, streamNo: number, keyRun: KeyRunRow): RunRow[] {
  return state
    .sql(
      `SELECT last_seq, segment, block FROM run
       WHERE stream_no = ? AND (last_seq, segment, block) >= (?, ?, ?) AND (last_seq, segment, block) <= (?, ?, ?)
       ORDER BY last_seq, segment, block`,
    )
    .all<RunRow>(
      streamNo,
      keyRun.first_seq,
      keyRun.first_segment,
      keyRun.first_block,
      keyRun.last_seq,
      keyRun.last_segment,
      keyRun.last_block,
    );
}

/** Blocks that hold a key of this hash, oldest first. */
export function blocksOfHash(state: SqlDatabase, streamNo: number, key: string): { segment: number; block: number }[] {
  return state
    .sql("SELECT segment, block FROM key_hash WHERE stream_no = ? AND hash = ? ORDER BY segment, block")
    .all(streamNo, keyHash(key));
}
