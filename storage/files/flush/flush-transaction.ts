/**
 * What one flush changes in a shard's state, and which runs it has for blocks. A transaction of the state is open all
 * the while.
 *
 * New items and cells go to a layer, with the reach of their stream. When items of a stream have become many they are
 * *placed*: keys go to the index, entries to the timeline of their stream and to the tails of their lanes; a tail that
 * has become a run's worth of entries goes to a block as a whole. So a run of fewer entries than a page never lies in a
 * segment, and what costs something for each lane is done rarely.
 */
import { ErasedRanges } from "../layers/erased-ranges.ts";
import { type Cells, emptyReach, type StreamReach } from "../layers/fragment.ts";
import { type ItemSize, type LoggedItem, sizeOf, withTombstones } from "../layers/piece.ts";
import { type Addition, type LayerScratch, putLayer } from "../layers/layer-merge.ts";
import { type LayerSource, writeStack } from "../layers/page-table.ts";
import { Streams, type LayeredStream } from "../layers/layered-stream.ts";
import type { SqlDatabase } from "../sqlite/database.ts";
import { KeyIndex } from "../placed/key-index.ts";
import { type ShardRow } from "../placed/state-file.ts";
import { findLane, lanesOfStream, runsBetween, tailOf } from "../placed/state-reader.ts";
import {
  addErasure,
  addNames,
  countErasures,
  createPlacedTables,
  deleteTailRow,
  LaneNumbers,
  TimelineUpdate,
  type Unsigned,
  writeRunRow,
  writeTailRow,
} from "../placed/state-writer.ts";
import type { EraseRange, Seq } from "../../types.ts";
import type { Packing } from "../../encoding/packing.ts";
import { isErased, masked } from "../placed/erasure.ts";
import type { FlushImage, StreamBatch } from "./flush-image.ts";
import type { Item } from "../../encoding/run.ts";
import { chunkRow, entriesInTail, extendedTail, readChunk } from "../placed/tail.ts";
import type { FlushJob } from "../segment-store.ts";

/** A run, or the part of a long one that one block took. */
export type PlacedRun = { segment: number; block: number; items: Item[] };
/** Takes the entries of one lane into blocks. */
export type RunSink = (lane: number, streamNo: number, name: string, items: Item[]) => PlacedRun[];

type LaneItems = { lane: number; name: string; isNew: boolean; items: Item[] };

export type PlacingLimits = {
  /** A lane's tail of so many entries goes to a block. */
  runEntriesMin: number;
  /** With more items than this a stream's are placed. */
  recentItemsMax: number;
  /** With more bytes of items than this in layers all of them are placed. */
  layerBytesMax: number;
};

/** With so many bytes a stream's items are placed, however few they are. */
const STREAM_BYTES_MAX = 32 * 1024;

export class FlushTransaction {
  readonly #state: SqlDatabase;
  readonly #before: Unsigned<ShardRow>;
  readonly #toBlocks: RunSink;
  readonly #limits: PlacingLimits;
  readonly #into: LayerSource;
  readonly #scratch: LayerScratch;
  readonly #carried: LayerSource | undefined;
  readonly #streams: Streams;
  readonly #keys: KeyIndex;
  readonly #lanes: LaneNumbers;
  readonly #additions: Addition[] = [];
  /** Of entries that are in layers. */
  readonly #erased = new ErasedRanges();
  /** Layers have bytes of erased entries that were placed since; only merging all of them takes those away. */
  #hasRemains = false;

  /**
   * @param into the state's own layers
   * @param carried newer ones from elsewhere, which go to the state with this flush
   */
  constructor(
    into: LayerSource,
    carried: LayerSource | undefined,
    before: Unsigned<ShardRow>,
    toBlocks: RunSink,
    limits: PlacingLimits,
    scratch: LayerScratch,
  ) {
    this.#scratch = scratch;
    this.#state = into.db;
    this.#into = into;
    this.#carried = carried;
    this.#streams = new Streams(carried === undefined ? [into] : [into, carried]);
    this.#before = before;
    this.#toBlocks = toBlocks;
    this.#limits = limits;
    this.#keys = new KeyIndex(this.#state);
    this.#lanes = new LaneNumbers(this.#state, before.lanes);
  }

  /** @throws RangeError when the job is not what its type promises. */
  apply(job: FlushJob, { batches, cells, erasures }: FlushImage, packing: Packing): Unsigned<ShardRow> {
    this.#erase(erasures);
    const heads = new Map(job.streams.map(({ name, headSeq }) => [name, headSeq]));
    const isWide = this.#unplacedBytes() > this.#limits.layerBytesMax;
    const views = this.#streams.findAll(batches.map(({ name }) => name));
    for (const batch of batches) {
      const { name } = batch;
      this.#stream(batch, views.get(name), heads.get(name)!, cells.get(name) ?? new Map(), isWide);
    }
    if (isWide) this.#placeOthers();
    return this.#finish(job.throughOffset, job.term, this.#before.flush + 1, packing, isWide);
  }

  /** Erases what was flushed before, takes carried layers in, makes all layers one where `isWhole` says so: no job. */
  spill(
    ranges: readonly EraseRange[],
    { flushed_through, term }: Pick<ShardRow, "flushed_through" | "term">,
    packing: Packing,
    isWhole: boolean,
  ): Unsigned<ShardRow> {
    this.#erase(ranges);
    return this.#finish(flushed_through, term, this.#before.flush, packing, isWhole);
  }

  #finish(flushed_through: number, term: number, flush: number, packing: Packing, isWhole = false): Unsigned<ShardRow> {
    this.#keys.finish();
    const streams = this.#addNames();
    const stack = putLayer({
      into: this.#into,
      carried: this.#carried,
      additions: this.#additions,
      isWhole: isWhole || this.#hasRemains || !this.#erased.isEmpty,
      erased: (name) => this.#erased.of(name),
      isBottom: true,
      packing,
      scratch: this.#scratch,
    });
    const erasures = countErasures(this.#state);
    const lanes = this.#lanes.count;
    return { ...this.#before, flush, flushed_through, term, streams, lanes, erasures, layers: writeStack(stack) };
  }

  /** Streams that the state sees for the first time. @returns how many there are then */
  #addNames(): number {
    const { streams } = this.#before;
    const fresh = new Map<number, string>();
    const note = ({ streamNo, name }: StreamReach): void => {
      if (streamNo > streams) fresh.set(streamNo, name);
    };
    for (const { reach } of this.#additions) note(reach);
    if (this.#carried !== undefined) for (const layered of new Streams([this.#carried]).each()) note(layered.reach);
    addNames(
      this.#state,
      [...fresh].map(([streamNo, name]) => ({ streamNo, name })),
    );
    return streams + fresh.size;
  }

  #stream(
    { streamNo, name, items }: StreamBatch,
    layered: LayeredStream | undefined,
    headSeq: Seq,
    cells: Cells,
    isWide: boolean,
  ): void {
    if (layered !== undefined && items.length === 0 && cells.size === 0) return;
    const reach = reachOf(layered, streamNo, name);
    for (const item of items) if (!item.alone) advance(reach, item);
    if (reach.headSeq !== headSeq)
      throw new RangeError(`${name}: the image ends at seq ${reach.headSeq}, the job says ${headSeq}`);
    const isPlaced = isWide || (items.length > 0 && isFull(layered?.size, sizeOf(items), this.#limits.recentItemsMax));
    if (isPlaced) this.#place(reach, [...this.#unplaced(layered), ...items]);
    this.#additions.push({ reach, items: isPlaced ? [] : items, cells });
  }

  #unplacedBytes(): number {
    const layers = [...this.#into.stack.layers, ...(this.#carried?.stack.layers ?? [])];
    return layers.reduce((sum, layer) => sum + layer.itemBytes, 0);
  }

  /** In a shard with very many streams even a few items of each are too much to be merged again and again. */
  #placeOthers(): void {
    const done = new Set(this.#additions.map(({ reach }) => reach.name));
    for (const layered of this.#streams.each()) {
      if (layered.pieces.length === 0 || done.has(layered.reach.name)) continue;
      const reach = { ...layered.reach };
      this.#place(reach, this.#unplaced(layered));
      this.#additions.push({ reach, items: [], cells: new Map() });
    }
  }

  #unplaced(layered: LayeredStream | undefined): LoggedItem[] {
    if (layered === undefined) return [];
    const isGone = this.#erased.of(layered.reach.name);
    return isGone === undefined ? layered.items() : withTombstones(layered.items(), isGone);
  }

  /** The items go where they stay. */
  #place(reach: StreamReach, items: LoggedItem[]): void {
    if (items.length === 0) return;
    createPlacedTables(this.#state);
    const timeline = new TimelineUpdate(this.#state, reach.streamNo);
    const lanes = new Map<string, LaneItems>();
    for (const item of items) this.#placeItem(reach.streamNo, timeline, lanes, item);
    for (const lane of lanes.values()) this.#append(reach.streamNo, lane);
    timeline.finish();
    reach.placedSeq = reach.headSeq;
    reach.placedThrough = items.at(-1)!.offset;
  }

  #placeItem(streamNo: number, timeline: TimelineUpdate, lanes: Map<string, LaneItems>, item: LoggedItem): void {
    const isGone = (seq: number): boolean => isErased(this.#state, streamNo, seq);
    if (item.alone) return this.#keys.add(streamNo, item.key, { seq: item.seq, value: valueOf(item) }, isGone);
    const ofLane = lanes.get(item.lane) ?? this.#lane(lanes, streamNo, item.lane);
    ofLane.items.push(item);
    timeline.place(item.seq, ofLane.lane);
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
    if (entriesInTail(chunks) + items.length < this.#limits.runEntriesMin) {
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

  /**
   * What is in layers and tails at once; what is in blocks is noted, to be read as erased from now on and to be
   * rewritten later.
   */
  #erase(ranges: readonly EraseRange[]): void {
    for (const range of ranges) {
      const layered = this.#streams.find(range.stream);
      if (layered === undefined || range.fromSeq > layered.reach.headSeq) continue;
      const { reach } = layered;
      this.#hasRemains ||= layered.hasRemains;
      const toSeq = Math.min(range.toSeq, reach.headSeq);
      if (toSeq > reach.placedSeq) this.#erased.add({ ...range, toSeq });
      if (reach.placedThrough > 0) this.#erasePlaced(reach.streamNo, range.lane, range.fromSeq, toSeq);
    }
  }

  #erasePlaced(streamNo: number, laneName: string | undefined, from_seq: number, to_seq: number): void {
    const lanes = this.#lanesToErase(streamNo, laneName);
    const inBlocks = lanes.filter((lane) => {
      this.#eraseTail(streamNo, lane, from_seq, to_seq);
      return runsBetween(this.#state, lane, from_seq, to_seq).length > 0;
    });
    const lane = laneName === undefined ? 0 : lanes[0]!;
    if (inBlocks.length > 0) addErasure(this.#state, { stream_no: streamNo, lane, from_seq, to_seq });
  }

  #lanesToErase(streamNo: number, name: string | undefined): number[] {
    if (name === undefined) return lanesOfStream(this.#state, streamNo).map(({ lane }) => lane);
    const lane = findLane(this.#state, streamNo, name);
    return lane === undefined ? [] : [lane];
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

function reachOf(layered: LayeredStream | undefined, streamNo: number, name: string): StreamReach {
  if (layered === undefined) return emptyReach(name, streamNo);
  const { headSeq, headOffset, placedSeq, placedThrough } = layered.reach;
  if (layered.reach.streamNo !== streamNo)
    throw new RangeError(`stream ${name} is known as number ${layered.reach.streamNo}, not ${streamNo}`);
  return { name, streamNo, headSeq, headOffset, placedSeq, placedThrough };
}

/** Another entry. @throws RangeError when its seq is not the next. */
function advance(reach: StreamReach, { seq, offset }: LoggedItem): void {
  if (seq !== reach.headSeq + 1) throw new RangeError(`${reach.name} goes on with seq ${seq} after ${reach.headSeq}`);
  reach.headSeq = seq;
  reach.headOffset = offset;
}

function isFull(there: ItemSize | undefined, more: ItemSize, itemsMax: number): boolean {
  const items = (there?.items ?? 0) + more.items;
  return items > itemsMax || (there?.bytes ?? 0) + more.bytes > STREAM_BYTES_MAX;
}

function valueOf({ bytes, start, length }: LoggedItem): Uint8Array {
  return bytes.subarray(start, start + length);
}
