/**
 * What one flush changes in a shard's state, and which runs it has for blocks. A transaction of the state is open all the while.
 *
 * New items join the recent ones of their stream, in one row. When those have become many they are *placed*: keys go to the index, entries to the timeline of
 * their stream and to the tails of their lanes; a tail that has become a run's worth of entries goes to a block as a whole. So a run of fewer entries than
 * a page never lies in a segment, and what costs something for each lane is done rarely.
 */
import type { SqlDatabase } from "../sqlite.ts";
import { KeyIndex } from "../state/key-index.ts";
import { type ShardRow, type StreamRow } from "../state/state-file.ts";
import { findLane, findStream, lanesOfStream, recentFrom, runsBetween, tailOf } from "../state/state-reader.ts";
import {
  addErasure,
  countErasures,
  createPlaces,
  deleteRecentRow,
  deleteTailRow,
  LaneNumbers,
  StreamUpdate,
  type Unsigned,
  writeCells,
  writeRecentRow,
  writeRunRow,
  writeTailRow,
} from "../state/state-writer.ts";
import type { Seq } from "../types.ts";
import { type EraseRange, isErased, masked } from "./erasure.ts";
import type { FlushImage, StreamBatch } from "./flush-image.ts";
import { extendedRecent, isFull, type LoggedItem, readRecent, recentRow, sizeOf } from "./recent.ts";
import { type Item, tombstone } from "./run.ts";
import { chunkRow, entriesInTail, extendedTail, readChunk } from "./tail.ts";
import type { FlushJob } from "./types.ts";

/** A run, or the part of a long one that one block took. */
export type PlacedRun = { segment: number; block: number; items: Item[] };
/** Takes the entries of one lane into blocks. */
export type RunSink = (lane: number, streamNo: number, name: string, items: Item[]) => PlacedRun[];

type LaneItems = { lane: number; name: string; isNew: boolean; items: Item[] };

export class FlushTransaction {
  readonly #state: SqlDatabase;
  readonly #before: Unsigned<ShardRow>;
  readonly #toBlocks: RunSink;
  readonly #runEntriesMin: number;
  readonly #recentItemsMax: number;
  readonly #keys: KeyIndex;
  readonly #lanes: LaneNumbers;
  #streams = 0;

  constructor(
    state: SqlDatabase,
    before: Unsigned<ShardRow>,
    toBlocks: RunSink,
    limits: { runEntriesMin: number; recentItemsMax: number },
  ) {
    this.#state = state;
    this.#before = before;
    this.#toBlocks = toBlocks;
    this.#runEntriesMin = limits.runEntriesMin;
    this.#recentItemsMax = limits.recentItemsMax;
    this.#keys = new KeyIndex(state);
    this.#lanes = new LaneNumbers(state, before.lanes);
  }

  /** @throws RangeError when the job is not what its type promises. */
  apply(job: FlushJob, { batches, cells, erasures }: FlushImage): Unsigned<ShardRow> {
    this.#erase(erasures);
    const heads = new Map(job.streams.map(({ name, headSeq }) => [name, headSeq]));
    for (const batch of batches) this.#stream(batch, heads.get(batch.name)!);
    this.#keys.finish();
    writeCells(this.#state, cells);
    return this.#after(job.throughOffset, job.term, this.#before.flush + 1);
  }

  /** Erases what was flushed before, nothing else. */
  erase(ranges: readonly EraseRange[]): Unsigned<ShardRow> {
    this.#erase(ranges);
    this.#keys.finish();
    return this.#after(this.#before.flushed_through, this.#before.term, this.#before.flush);
  }

  #after(flushed_through: number, term: number, flush: number): Unsigned<ShardRow> {
    const streams = this.#before.streams + this.#streams;
    const erasures = countErasures(this.#state);
    return { ...this.#before, flush, flushed_through, term, streams, lanes: this.#lanes.count, erasures };
  }

  #stream({ streamNo, name, items }: StreamBatch, headSeq: Seq): void {
    const update = new StreamUpdate(this.#state, streamNo, name);
    if (update.isNew) this.#streams++;
    else if (items.length === 0) return;
    for (const item of items) if (!item.alone) update.advance(item.seq, item.offset);
    const { head_seq } = update.row;
    if (head_seq !== headSeq)
      throw new RangeError(`${name}: the image ends at seq ${head_seq}, the job says ${headSeq}`);
    if (isFull(update.row, sizeOf(items), this.#recentItemsMax)) this.#place(update, items);
    else if (items.length > 0) this.#keep(update.row, items);
    update.write();
  }

  /** The items join the recent ones. */
  #keep(row: Unsigned<StreamRow>, items: LoggedItem[]): void {
    const read = (from: number): ReturnType<typeof recentFrom> => recentFrom(this.#state, row.stream_no, from);
    const { put, drop, chunks, open } = extendedRecent(row.stream_no, row, items, read);
    for (const recent of drop) deleteRecentRow(this.#state, recent);
    writeRecentRow(this.#state, put);
    const size = sizeOf(items);
    Object.assign(row, { chunks, open, items: row.items + size.items, bytes: row.bytes + size.bytes });
  }

  /** The recent items, and these, go where they stay. */
  #place(update: StreamUpdate, items: LoggedItem[]): void {
    const { row } = update;
    const rows = row.chunks === 0 ? [] : recentFrom(this.#state, row.stream_no);
    createPlaces(this.#state);
    row.page_seq ||= 1;
    const lanes = new Map<string, LaneItems>();
    for (const item of rows.flatMap(readRecent)) this.#placeItem(update, lanes, item);
    for (const item of items) this.#placeItem(update, lanes, item);
    for (const lane of lanes.values()) this.#append(row.stream_no, lane);
    for (const { recent } of rows) deleteRecentRow(this.#state, recent);
    Object.assign(row, { chunks: 0, open: 0, items: 0, bytes: 0 });
  }

  #placeItem(update: StreamUpdate, lanes: Map<string, LaneItems>, item: LoggedItem): void {
    const streamNo = update.row.stream_no;
    const isGone = (seq: number): boolean => isErased(this.#state, streamNo, seq);
    if (item.alone) return this.#keys.add(streamNo, item.key, { seq: item.seq, value: valueOf(item) }, isGone);
    const ofLane = lanes.get(item.lane) ?? this.#lane(lanes, streamNo, item.lane);
    ofLane.items.push(item);
    update.place(item.seq, ofLane.lane);
    if (item.key !== "") this.#keys.add(streamNo, item.key, { seq: item.seq, value: null }, isGone);
  }

  #lane(lanes: Map<string, LaneItems>, streamNo: number, name: string): LaneItems {
    const before = this.#lanes.count;
    const lane = this.#lanes.of(streamNo, name);
    const made = { lane, name, isNew: this.#lanes.count > before, items: [] };
    lanes.set(name, made);
    return made;
  }

  #append(streamNo: number, { lane, name, isNew, items }: LaneItems): void {
    const chunks = isNew ? [] : tailOf(this.#state, lane);
    if (entriesInTail(chunks) + items.length < this.#runEntriesMin) {
      const { put, drop } = extendedTail(lane, name, chunks, items);
      for (const tail of drop) deleteTailRow(this.#state, tail);
      return writeTailRow(this.#state, put);
    }
    const all = [...chunks.flatMap((chunk) => readChunk(chunk).items), ...items];
    for (const { segment, block, items: placed } of this.#toBlocks(lane, streamNo, name, all)) {
      const [first_seq, last_seq] = [placed[0]!.seq, placed.at(-1)!.seq];
      writeRunRow(this.#state, { lane, last_seq, first_seq, segment, block, entries: placed.length });
    }
    for (const { tail } of chunks) deleteTailRow(this.#state, tail);
  }

  /** What is in the state at once; what is in blocks is noted, to be read as erased from now on and to be rewritten later. */
  #erase(ranges: readonly EraseRange[]): void {
    for (const { stream: name, lane: laneName, fromSeq, toSeq } of ranges) {
      const stream = findStream(this.#state, name);
      if (stream === undefined || fromSeq > stream.head_seq) continue;
      const streamNo = stream.stream_no;
      const to_seq = Math.min(toSeq, stream.head_seq);
      this.#eraseRecent(stream, laneName, fromSeq, to_seq);
      if (stream.page_seq === 0) continue;
      const lanes = this.#lanesToErase(streamNo, laneName);
      const inBlocks = lanes.filter((lane) => {
        this.#eraseTail(streamNo, lane, fromSeq, to_seq);
        return runsBetween(this.#state, lane, fromSeq, to_seq).length > 0;
      });
      const lane = laneName === undefined ? 0 : lanes[0]!;
      if (inBlocks.length > 0) addErasure(this.#state, { stream_no: streamNo, lane, from_seq: fromSeq, to_seq });
    }
  }

  #lanesToErase(streamNo: number, name: string | undefined): number[] {
    if (name === undefined) return lanesOfStream(this.#state, streamNo).map(({ lane }) => lane);
    const lane = findLane(this.#state, streamNo, name);
    return lane === undefined ? [] : [lane];
  }

  #eraseRecent({ stream_no, placed_seq }: StreamRow, lane: string | undefined, fromSeq: number, toSeq: number): void {
    if (toSeq <= placed_seq) return;
    const isWanted = (item: LoggedItem): boolean =>
      !item.alone && item.seq >= fromSeq && item.seq <= toSeq && (lane === undefined || item.lane === lane);
    for (const row of recentFrom(this.#state, stream_no)) {
      const items = readRecent(row);
      if (!items.some(isWanted)) continue;
      const left = items.map((item) => (isWanted(item) ? { ...item, ...tombstone(item) } : item));
      writeRecentRow(this.#state, recentRow(row.recent, left, true));
    }
  }

  #eraseTail(streamNo: number, lane: number, from_seq: number, to_seq: number): void {
    for (const chunk of tailOf(this.#state, lane)) {
      if (chunk.last_seq < from_seq || chunk.first_seq > to_seq) continue;
      const { lane: name, items } = readChunk(chunk);
      const left = masked(items, lane, [{ lane, from_seq, to_seq }], ({ key, seq }) => {
        if (key !== "") this.#keys.remove(streamNo, key, seq);
      });
      if (left !== items) writeTailRow(this.#state, chunkRow(chunk.tail, name, left, true));
    }
  }
}

function valueOf({ bytes, start, length }: LoggedItem): Uint8Array {
  return bytes.subarray(start, start + length);
}
