/**
 * Compares where `state.db` says that placed entries are with the entries themselves.
 *
 * Each seq of a stream from 1 to the one that its reach says is placed is there once, in the lane that the timeline
 * says, in a run or a tail of it. Offsets rise with seqs. What is not placed is in verify-streams.ts.
 *
 * Memory: 12 bytes for each placed entry of one shard.
 */
import type { StreamReach } from "../files/layers/fragment.ts";
import type { NumberedRange } from "../files/placed/erasure.ts";
import { covers } from "../files/placed/erasure.ts";
import type { Run } from "../encoding/run.ts";
import { readChunk } from "../files/placed/tail.ts";
import type { SqlDatabase } from "../files/sqlite/database.ts";
import {
  CHUNKS_MAX,
  type LaneRow,
  OPEN_PAGE,
  type RunRow,
  type ShardRow,
  type TailRow,
  type TimelineRow,
} from "../files/placed/state-file.ts";
import { hasPlacedTables, listErasures } from "../files/placed/state-reader.ts";
import { readPage } from "../files/placed/timeline.ts";
import type { KeyCheck } from "./verify-keys.ts";
import type { Fault } from "./verify-rows.ts";

type Placed = {
  reach: StreamReach;
  /** By seq - 1. */
  lanes: Uint32Array;
  /** By seq - 1, 0 for what was not met. */
  offsets: Float64Array;
};
type Lane = { row: LaneRow; streamNo: number; lastSeq: number; tailChunks: number };

export class PlacedCheck {
  readonly #state: SqlDatabase;
  readonly #shard: ShardRow;
  readonly #keys: KeyCheck;
  readonly #fault: Fault;
  readonly #streams = new Map<number, Placed>();
  readonly #lanes = new Map<number, Lane>();
  readonly #erasures = new Map<number, NumberedRange[]>();
  entries = 0;

  constructor(state: SqlDatabase, shard: ShardRow, keys: KeyCheck, fault: Fault) {
    this.#state = state;
    this.#shard = shard;
    this.#keys = keys;
    this.#fault = fault;
  }

  /** Lanes and timelines, before any entry. @param reaches of all streams, by number */
  begin(reaches: ReadonlyMap<number, StreamReach>): void {
    for (const reach of reaches.values()) this.#addStream(reach);
    if (!hasPlacedTables(this.#state)) return;
    this.#readLanes();
    this.#readTimelines();
    for (const row of listErasures(this.#state)) {
      const known = this.#erasures.get(row.stream_no);
      if (known === undefined) this.#erasures.set(row.stream_no, [row]);
      else known.push(row);
    }
  }

  /** A part of a block; `run` rows of the state name it. */
  run(lane: number, streamNo: number, run: Run, { segment, block }: { segment: number; block: number }): void {
    const at = `segment ${segment}, block ${block}, lane ${lane}`;
    const [first, last] = [run.items[0], run.items.at(-1)];
    const sql = this.#state.sql("SELECT * FROM run WHERE lane = ? AND last_seq = ?");
    const row = last && sql.get<RunRow>(lane, last.seq);
    if (row === undefined || first === undefined) return this.#fault(at, "the state does not know this run");
    const isThis =
      row.segment === segment && row.block === block && row.first_seq === first.seq && row.entries === run.items.length;
    if (!isThis) this.#fault(`table run, row ${lane}/${row.last_seq}`, `it says something else than ${at}`);
    this.#items(lane, streamNo, run, at);
  }

  /** Tails, after all runs; then what is missing. */
  finish(): void {
    if (hasPlacedTables(this.#state)) {
      for (const row of this.#state.sql("SELECT * FROM tail ORDER BY tail").each<TailRow>()) this.#tail(row);
    }
    for (const placed of this.#streams.values()) this.#finishStream(placed);
  }

  #addStream(reach: StreamReach): void {
    const { name, streamNo, placedSeq, placedThrough } = reach;
    if (placedThrough > 0 && !hasPlacedTables(this.#state))
      return this.#fault(`stream ${name}`, "it has placed entries, but there are no tables for them");
    this.#streams.set(streamNo, { reach, lanes: new Uint32Array(placedSeq), offsets: new Float64Array(placedSeq) });
  }

  #readLanes(): void {
    for (const row of this.#state.sql("SELECT * FROM lane ORDER BY lane").all<LaneRow>()) {
      const place = `table lane, row ${row.stream_no}/${row.name}`;
      if (!this.#streams.has(row.stream_no)) this.#fault(place, `its stream is not there`);
      if (row.lane !== this.#lanes.size + 1) this.#fault(place, `lane ${row.lane} follows ${this.#lanes.size}`);
      this.#lanes.set(row.lane, { row, streamNo: row.stream_no, lastSeq: 0, tailChunks: 0 });
    }
    if (this.#lanes.size !== this.#shard.lanes)
      this.#fault("table lane", `${this.#lanes.size} lanes, the shard's row says ${this.#shard.lanes}`);
  }

  /**
   * Pages follow one another, the one that grows is the last, and each stream of which something was placed has that.
   */
  #readTimelines(): void {
    const next = new Map<number, number>();
    const open = new Set<number>();
    const rows = this.#state.sql("SELECT * FROM timeline ORDER BY stream_no, first_seq = ?, first_seq");
    for (const row of rows.all<TimelineRow>(OPEN_PAGE)) {
      const isOpen = row.first_seq === OPEN_PAGE;
      if (isOpen) open.add(row.stream_no);
      next.set(row.stream_no, this.#timelinePage(row, isOpen, next.get(row.stream_no) ?? 1));
    }
    for (const { reach } of this.#streams.values()) {
      const place = `table timeline, stream number ${reach.streamNo}`;
      const end = (next.get(reach.streamNo) ?? 1) - 1;
      if (end !== reach.placedSeq) this.#fault(place, `it ends with seq ${end}, placed are ${reach.placedSeq}`);
      if (reach.placedThrough > 0 && !open.has(reach.streamNo)) this.#fault(place, "the page that grows is missing");
    }
  }

  /** @returns the seq that the next page begins with */
  #timelinePage(row: TimelineRow, isOpen: boolean, expected: number): number {
    const place = `table timeline, row ${row.stream_no}/${row.first_seq}`;
    const placed = this.#streams.get(row.stream_no);
    const { first, stretches } = readPage(row.page);
    if (placed === undefined) this.#fault(place, "its stream is not there");
    if (first !== expected || (!isOpen && first !== row.first_seq))
      this.#fault(place, `it begins with seq ${first}, the page before ends before ${expected}`);
    let seq = first;
    for (const { lane, count } of stretches) {
      if (this.#lanes.get(lane)?.streamNo !== row.stream_no) this.#fault(place, `lane ${lane} is not of this stream`);
      placed?.lanes.fill(lane, seq - 1, seq - 1 + count);
      seq += count;
    }
    return seq;
  }

  #items(lane: number, streamNo: number, run: Run, at: string): void {
    const known = this.#lanes.get(lane);
    const placed = this.#streams.get(streamNo);
    if (known === undefined || placed === undefined || known.streamNo !== streamNo || known.row.name !== run.lane) {
      return this.#fault(at, `it is of stream number ${streamNo}, lane ${run.lane}; the state says otherwise`);
    }
    const erasures = this.#erasures.get(streamNo) ?? [];
    let last = 0;
    for (const item of run.items) {
      if (item.seq <= last) return this.#fault(at, `seq ${item.seq} follows ${last}`);
      last = item.seq;
      if (placed.lanes[item.seq - 1] !== lane)
        return this.#fault(at, `the timeline says another lane of seq ${item.seq}`);
      if (placed.offsets[item.seq - 1] !== 0) return this.#fault(at, `seq ${item.seq} is there twice`);
      placed.offsets[item.seq - 1] = item.offset;
      this.entries++;
      if (item.key !== "") this.#keys.entry(streamNo, item.seq, item.key, covers(erasures, lane, item.seq));
    }
    known.lastSeq = Math.max(known.lastSeq, last);
  }

  #tail(row: TailRow): void {
    const at = `table tail, row ${row.tail}`;
    const lane = Math.floor(row.tail / CHUNKS_MAX);
    const known = this.#lanes.get(lane);
    if (known === undefined) return this.#fault(at, `lane ${lane} is not there`);
    if (row.tail % CHUNKS_MAX !== known.tailChunks++) this.#fault(at, "the chunk before it is missing");
    const run = readChunk(row);
    const isThis =
      run.items[0]?.seq === row.first_seq && run.items.at(-1)?.seq === row.last_seq && run.items.length === row.entries;
    if (!isThis) this.#fault(at, "its entries are not those that the row says");
    if (row.first_seq <= known.lastSeq) this.#fault(at, `seq ${row.first_seq} follows ${known.lastSeq} of the lane`);
    this.#items(lane, known.streamNo, run, at);
  }

  #finishStream({ reach, offsets }: Placed): void {
    const place = `stream ${reach.name}`;
    let last = 0;
    for (let at = 0; at < offsets.length; at++) {
      const offset = offsets[at]!;
      if (offset === 0) return this.#fault(place, `seq ${at + 1} is missing`);
      if (offset < last) return this.#fault(place, `seq ${at + 1} has offset ${offset}, the one before ${last}`);
      last = offset;
    }
    if (last > reach.placedThrough)
      this.#fault(place, `offset ${last} is placed, its reach says ${reach.placedThrough}`);
    if (reach.headSeq === reach.placedSeq && last !== reach.headOffset)
      this.#fault(place, `it ends with offset ${last}, its reach says ${reach.headOffset}`);
  }
}
