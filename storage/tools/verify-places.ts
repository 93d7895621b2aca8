/**
 * Where the entries of a shard are, told by the state, against the entries themselves.
 *
 * Each seq of a stream from 1 to its head is there once: up to `placed_seq` in the lane that the timeline says, in a run or a tail of it; above that among
 * the recent items. Offsets rise with seqs and end with the head's.
 *
 * Memory: 12 bytes for each placed entry of one shard.
 */
import type { NumberedRange } from "../segment/erasure.ts";
import { covers } from "../segment/erasure.ts";
import { readRecent } from "../segment/recent.ts";
import type { Item, Run } from "../segment/run.ts";
import { readChunk } from "../segment/tail.ts";
import type { SqlDatabase } from "../sqlite.ts";
import {
  CHUNKS_MAX,
  type LaneRow,
  type RunRow,
  type ShardRow,
  type StreamRow,
  type TailRow,
  type TimelineRow,
} from "../state/state-file.ts";
import { hasPlaces, listErasures, recentFrom } from "../state/state-reader.ts";
import { readPage } from "../state/timeline.ts";
import type { KeyCheck } from "./verify-keys.ts";
import type { Fault } from "./verify-rows.ts";

type Placed = {
  row: StreamRow;
  /** By seq - 1. */
  lanes: Uint32Array;
  /** By seq - 1, 0 for what was not met. */
  offsets: Float64Array;
};
type Lane = { row: LaneRow; streamNo: number; lastSeq: number; tailChunks: number };

export class PlaceCheck {
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

  get streamCount(): number {
    return this.#streams.size;
  }

  /** Streams, lanes and timelines, before any entry. */
  begin(): void {
    for (const row of this.#state.sql("SELECT * FROM stream ORDER BY stream_no").all<StreamRow>())
      this.#readStream(row);
    if (this.#streams.size !== this.#shard.streams)
      this.#fault("table stream", `${this.#streams.size} streams, the shard's row says ${this.#shard.streams}`);
    for (const { stream_no } of this.#state.sql("SELECT DISTINCT stream_no FROM cell").all<{ stream_no: number }>()) {
      if (!this.#streams.has(stream_no))
        this.#fault("table cell", `cells of stream number ${stream_no}, which is not there`);
    }
    if (!hasPlaces(this.#state)) return;
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

  /** Tails and recent items, after all runs; then what is missing. */
  finish(): void {
    if (hasPlaces(this.#state)) {
      for (const row of this.#state.sql("SELECT * FROM tail ORDER BY tail").each<TailRow>()) this.#tail(row);
    }
    for (const placed of this.#streams.values()) this.#finishStream(placed);
  }

  #readStream(row: StreamRow): void {
    const place = `table stream, row ${row.stream_no}`;
    if (row.stream_no !== this.#streams.size + 1) this.#fault(place, `the stream before it is missing`);
    if (row.placed_seq > row.head_seq || row.head_offset > this.#shard.flushed_through)
      this.#fault(place, "it goes beyond what was flushed");
    const { placed_seq } = row;
    this.#streams.set(row.stream_no, {
      row,
      lanes: new Uint32Array(placed_seq),
      offsets: new Float64Array(placed_seq),
    });
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

  /** Pages follow one another; the newest is in the stream's row. */
  #readTimelines(): void {
    const next = new Map<number, number>();
    const page = (streamNo: number, first: number, bytes: Uint8Array, place: string): void => {
      const placed = this.#streams.get(streamNo);
      if (placed === undefined) return this.#fault(place, "its stream is not there");
      const expected = next.get(streamNo) ?? 1;
      if (first !== expected)
        this.#fault(place, `it begins with seq ${first}, the page before ends before ${expected}`);
      let seq = first;
      for (const { lane, count } of readPage(bytes)) {
        if (this.#lanes.get(lane)?.streamNo !== streamNo) this.#fault(place, `lane ${lane} is not of this stream`);
        placed.lanes.fill(lane, seq - 1, seq - 1 + count);
        seq += count;
      }
      next.set(streamNo, seq);
    };
    const rows = this.#state.sql("SELECT * FROM timeline ORDER BY stream_no, first_seq");
    for (const row of rows.all<TimelineRow>())
      page(row.stream_no, row.first_seq, row.page, `table timeline, row ${row.stream_no}/${row.first_seq}`);
    for (const { row } of this.#streams.values()) {
      const place = `table stream, row ${row.stream_no}`;
      if (row.page_seq > 0) page(row.stream_no, row.page_seq, row.page, place);
      const end = (next.get(row.stream_no) ?? 1) - 1;
      if (end !== row.placed_seq) this.#fault(place, `its timeline ends with seq ${end}, placed are ${row.placed_seq}`);
    }
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

  #finishStream({ row, offsets }: Placed): void {
    const place = `stream ${row.name}`;
    let last = 0;
    for (let at = 0; at < offsets.length; at++) {
      const offset = offsets[at]!;
      if (offset === 0) return this.#fault(place, `seq ${at + 1} is missing`);
      if (offset < last) return this.#fault(place, `seq ${at + 1} has offset ${offset}, the one before ${last}`);
      last = offset;
    }
    const recent = this.#recent(row, place);
    let seq = row.placed_seq;
    for (const item of recent) {
      if (item.seq !== seq + 1) return this.#fault(place, `seq ${item.seq} follows ${seq}`);
      if (item.offset < last)
        return this.#fault(place, `seq ${item.seq} has offset ${item.offset}, the one before ${last}`);
      [seq, last] = [item.seq, item.offset];
      this.entries++;
    }
    if (seq !== row.head_seq) this.#fault(place, `it ends with seq ${seq}, its row says ${row.head_seq}`);
    if (last !== row.head_offset) this.#fault(place, `it ends with offset ${last}, its row says ${row.head_offset}`);
  }

  #recent({ stream_no, chunks, items }: StreamRow, place: string): Item[] {
    const rows = recentFrom(this.#state, stream_no);
    if (rows.length !== chunks || rows.some(({ recent }, index) => recent !== stream_no * CHUNKS_MAX + index))
      this.#fault(place, `${rows.length} chunks of recent items, its row says ${chunks}`);
    const all = rows.flatMap((row) => readRecent(row));
    if (all.length !== items) this.#fault(place, `${all.length} recent items, its row says ${items}`);
    this.#keys.count += all.filter(({ alone, key }) => alone || key !== "").length;
    return all.filter(({ alone }) => !alone);
  }
}
