/**
 * Gathers what is left of one damaged shard: rows of its `state.db`, blocks of its segments, what `recent.db` and the
 * log have of it. Each row, block and frame has a checksum; what passes it is what was written, wherever it was found.
 *
 * What rows name is taken from where they say it is, so that what a crash or a rewriting left over does not come back.
 * Only where the rows that would tell are lost, all that is there is taken.
 */
import * as fs from "node:fs";
import { join, relative } from "node:path";
import { type Fragment, addCells, type Cells } from "../../files/layers/fragment.ts";
import { fragmentsIn, type PageRow, readStack } from "../../files/layers/page-table.ts";
import type { RecentShardRow } from "../../files/layers/recent-file.ts";
import { itemsOf } from "../../files/layers/piece.ts";
import { readBlockParts } from "../../files/placed/block.ts";
import { unpackedRow } from "../../encoding/packing.ts";
import { segmentFileNo, shardDirectory, statePath } from "../../files/sqlite/paths.ts";
import { SEGMENT_FORMAT, wholeBlock } from "../../files/placed/segment-file.ts";
import type { Item } from "../../encoding/run.ts";
import { readChunk } from "../../files/placed/tail.ts";
import { asBuffer, ByteReader } from "../../encoding/byte-reader.ts";
import { readKeyPage } from "../../files/placed/key-page.ts";
import { aloneKey } from "../../files/placed/key-reader.ts";
import {
  CHUNKS_MAX,
  type RunRow,
  type SegmentRow,
  type ShardRow,
  STATE_FORMAT,
} from "../../files/placed/state-file.ts";
import { NAMES_PER_PAGE } from "../../files/placed/state-reader.ts";
import { readPage } from "../../files/placed/timeline.ts";
import type { ShardId } from "../../types.ts";
import { rawRows } from "./raw-rows.ts";
import { type BrokenRow, salvagedImage, SalvagedRows, STATE_SHAPES } from "./salvaged-rows.ts";
import type { SalvagedLog } from "./salvaged-log.ts";
import { ShardContents, type StreamContents } from "./shard-contents.ts";

/** What `recent.db` has of the shard. `isSure`: nothing of it can be lost beside what the row names. */
export type RecentRemains = { row: RecentShardRow | undefined; pages: PageRow[]; isSure: boolean };

export type Salvage = { contents: ShardContents; broken: BrokenRow[] };

export function salvageShard(root: string, shard: ShardId, recent: RecentRemains, log: SalvagedLog): Salvage {
  return new ShardSalvage(root, shard, recent, log).run();
}

class ShardSalvage {
  readonly #root: string;
  readonly #shard: ShardId;
  readonly #recent: RecentRemains;
  readonly #log: SalvagedLog;
  readonly #contents: ShardContents;
  readonly #broken: BrokenRow[] = [];
  /** Streams of lanes, and their names, by number. */
  readonly #streamOfLane = new Map<number, number>();
  readonly #nameOfLane = new Map<number, string>();
  readonly #stretches: { streamNo: number; lane: number; from: number; to: number }[] = [];

  constructor(root: string, shard: ShardId, recent: RecentRemains, log: SalvagedLog) {
    this.#root = root;
    this.#shard = shard;
    this.#recent = recent;
    this.#log = log;
    this.#contents = new ShardContents(shard);
  }

  run(): Salvage {
    const contents = this.#contents;
    const state = this.#readState();
    const row = state?.of("shard")[0] as ShardRow | undefined;
    const { row: recentRow } = this.#recent;
    const hasState = fs.existsSync(shardDirectory(this.#root, this.#shard));
    const stateThrough = row?.flushed_through ?? (hasState ? 0 : -1);
    for (const one of [row, recentRow]) {
      if (one === undefined) continue;
      contents.reached(one.flushed_through);
      contents.term = Math.max(contents.term, one.term);
      contents.streamCount = Math.max(contents.streamCount, one.streams);
    }
    const flushedThrough = Math.max(row?.flushed_through ?? 0, recentRow?.flushed_through ?? 0);
    this.#log.addTo(contents, flushedThrough, "below");
    const layers = [...this.#stateLayers(state, row, hasState), ...this.#recentLayers(stateThrough, hasState)];
    if (state !== undefined) this.#readDirectory(state);
    for (const fragment of layers) this.#note(fragment);
    this.#readSegments(state);
    this.#noteLanes();
    if (state !== undefined) this.#readTails(state);
    for (const fragment of layers) this.#readFragment(fragment);
    if (state !== undefined) this.#readKeys(state);
    this.#log.addTo(contents, flushedThrough, "above");
    this.#noteLog(flushedThrough);
    this.#log.eraseIn(contents);
    return { contents, broken: this.#broken };
  }

  #noteLog(flushedThrough: number): void {
    const { ranges, isOpen } = this.#log.lacks(this.#shard, flushedThrough);
    if (ranges.length > 0) this.#lacks(`records of the log at offsets ${ranges.join(", ")}`);
    if (isOpen) this.#lacks("records, perhaps, in damaged parts of the log");
    if (ranges.length > 0 || isOpen) this.#contents.mayLackNewest = true;
  }

  #lacks(what: string): void {
    this.#contents.missing.push(what);
  }

  /** As people know the file: without the directory in which it is read. */
  #named(path: string): string {
    return relative(this.#root, path);
  }

  get #stateName(): string {
    return this.#named(statePath(this.#root, this.#shard));
  }

  #readState(): SalvagedRows | undefined {
    const path = statePath(this.#root, this.#shard);
    const image = salvagedImage(path);
    if (image === undefined) return undefined;
    const rows = new SalvagedRows(image, STATE_FORMAT.pageBytes, STATE_SHAPES, this.#stateName);
    this.#broken.push(...rows.broken);
    return rows;
  }

  // ---- layers

  #stateLayers(state: SalvagedRows | undefined, row: ShardRow | undefined, hasState: boolean): Fragment[] {
    if (hasState && row === undefined) {
      this.#contents.mayLackNewest = true;
      this.#lacks("how far the shard's own files reach");
    }
    return this.#layersOf(state?.of("page") ?? [], row, "the shard's own files");
  }

  #recentLayers(stateThrough: number, hasState: boolean): Fragment[] {
    const { row, pages, isSure } = this.#recent;
    // What the log goes on with behind the shard's own files cannot be elsewhere.
    if (row === undefined && !isSure && !this.#log.has(this.#shard, Math.max(0, stateThrough) + 1)) {
      this.#contents.mayLackNewest = true;
      this.#lacks("how far recent.db reaches for the shard");
    }
    if (row !== undefined && row.own_through > stateThrough) {
      this.#contents.mayLackNewest = true;
      this.#lacks(hasState ? "the newest of the shard's own files" : "the shard's own files");
    }
    // What has moved to the shard's own files is there.
    if (row !== undefined && row.flushed_through <= stateThrough) return [];
    return this.#layersOf(pages, row, "recent.db");
  }

  /** Fragments of the layers that count, from the oldest to the newest. */
  #layersOf(pages: readonly PageRow[], row: { layers: Uint8Array } | undefined, where: string): Fragment[] {
    const listed = row && decoded(() => readStack(row.layers).layers);
    const byLayer = Map.groupBy(pages, ({ layer }) => layer);
    const layers = listed ?? [...byLayer.keys()].toSorted((a, b) => a - b).map((layer) => ({ layer, pages: 0 }));
    return layers.flatMap(({ layer, pages: count }) => {
      const found = (byLayer.get(layer) ?? []).toSorted((a, b) => (a.first < b.first ? -1 : 1));
      const fragments = found.map((page) => decoded(() => [...fragmentsIn(unpackedRow(page))]));
      const whole = fragments.filter((page) => page !== undefined);
      if (whole.length < Math.max(count, found.length)) {
        this.#contents.mayLackNewest = true;
        this.#lacks(`${count - whole.length} of ${count} pages of layer ${layer} in ${where}: entries, cells`);
      }
      return whole.flat();
    });
  }

  #note(fragment: Fragment): void {
    const { name, streamNo, headSeq, headOffset } = fragment;
    const stream = this.#contents.numbered(name, streamNo);
    stream.headSeq = Math.max(stream.headSeq, headSeq);
    this.#contents.reached(headOffset);
  }

  #readFragment(fragment: Fragment): void {
    const stream = this.#contents.stream(fragment.name);
    for (const piece of fragment.pieces) {
      for (const item of decoded(() => itemsOf(piece)) ?? []) {
        const payload = bytesOf(item);
        this.#contents.reached(item.offset);
        if (item.alone) stream.putKey(item.key, { seq: item.seq, value: payload, offset: item.offset });
        else stream.put(item.seq, { offset: item.offset, lane: item.lane, key: item.key, payload });
      }
    }
    const cells: Cells = new Map();
    decoded(() => addCells(fragment, cells));
    for (const [key, value] of cells) stream.cells.set(key, value);
  }

  // ---- what is placed

  #readDirectory(state: SalvagedRows): void {
    for (const { page, names } of state.of("name")) {
      const reader = new ByteReader(asBuffer(names));
      for (let n = 1; reader.pos < reader.end; n++)
        decoded(() => this.#contents.numbered(reader.str8(), page * NAMES_PER_PAGE + n));
    }
    for (const { stream_no, name, lane } of state.of("lane")) {
      this.#streamOfLane.set(lane, stream_no);
      this.#nameOfLane.set(lane, name);
    }
    this.#noteTimelines(state);
    for (const { lane, last_seq } of state.of("run")) {
      const stream = this.#streamOf(lane);
      if (stream !== undefined) stream.headSeq = Math.max(stream.headSeq, last_seq);
    }
  }

  #noteTimelines(state: SalvagedRows): void {
    for (const { stream_no, page } of state.of("timeline")) {
      const timeline = decoded(() => readPage(page));
      if (timeline === undefined) continue;
      const stream = this.#contents.byNumber(stream_no);
      let seq = timeline.first;
      for (const { lane, count } of timeline.stretches) {
        this.#streamOfLane.set(lane, stream_no);
        this.#stretches.push({ streamNo: stream_no, lane, from: seq, to: seq + count - 1 });
        seq += count;
      }
      stream.headSeq = Math.max(stream.headSeq, seq - 1);
    }
  }

  /** Which lane entries are in, lost ones among them. Names of lanes are in rows, and in blocks. */
  #noteLanes(): void {
    for (const { streamNo, lane, from, to } of this.#stretches) {
      const name = this.#nameOfLane.get(lane);
      const stream = this.#contents.byNumber(streamNo);
      if (name !== undefined) for (let seq = from; seq <= to; seq++) stream.laneOf.set(seq, name);
    }
  }

  #streamOf(lane: number): StreamContents | undefined {
    const streamNo = this.#streamOfLane.get(lane);
    return streamNo === undefined ? undefined : this.#contents.byNumber(streamNo);
  }

  #readSegments(state: SalvagedRows | undefined): void {
    const directory = shardDirectory(this.#root, this.#shard);
    const names = fs.existsSync(directory)
      ? fs.readdirSync(directory).filter((name) => /^segment-\d+\.db$/.test(name))
      : [];
    const segments = state?.of("segment") ?? [];
    const isListed = areAll(segments, state?.of("run") ?? []);
    if (names.length > 0 && !isListed) this.#lacks("which segments there are: blocks of all files are taken");
    for (const name of names) {
      const file = segmentFileNo(name)!;
      const rows = segments.filter((row) => row.file === file);
      if (isListed && rows.length === 0) continue;
      const last = rows.reduce((sum, { blocks }) => sum + blocks, 0);
      this.#readSegment(join(directory, name), file, isListed ? last : Number.POSITIVE_INFINITY);
    }
    for (const { file } of segments)
      if (!names.some((name) => segmentFileNo(name) === file)) this.#lacks(`segment file ${file}`);
    this.#eraseInBlocks(state);
  }

  #readSegment(path: string, file: number, lastBlock: number): void {
    const image = salvagedImage(path);
    let blocks = 0;
    for (const { values, rowid } of rawRows(image ?? Buffer.alloc(0), SEGMENT_FORMAT.pageBytes)) {
      // The row number is the first column; a row of SQLite's own has a text there.
      if (values.length !== 5 || values[0] !== null || rowid === undefined || rowid > lastBlock) continue;
      const raw = wholeBlock({ shard: this.#shard, file, block: rowid }, values);
      if (raw === undefined) {
        this.#broken.push({ file: this.#named(path), table: "block", values: [rowid, ...values.slice(1)] });
        continue;
      }
      blocks++;
      for (const { lane, streamNo, run } of decoded(() => readBlockParts(raw)) ?? []) {
        this.#streamOfLane.set(lane, streamNo);
        this.#nameOfLane.set(lane, run.lane);
        this.#putRun(this.#contents.byNumber(streamNo), run.lane, run.items);
      }
    }
    if (lastBlock < Number.POSITIVE_INFINITY && blocks < lastBlock)
      this.#lacks(`${lastBlock - blocks} of ${lastBlock} blocks of segment file ${file}`);
  }

  #putRun(stream: StreamContents, lane: string, items: readonly Item[]): void {
    for (const item of items) {
      this.#contents.reached(item.offset);
      stream.put(item.seq, { offset: item.offset, lane, key: item.key, payload: bytesOf(item) });
    }
  }

  #readTails(state: SalvagedRows): void {
    for (const row of state.of("tail")) {
      const run = decoded(() => readChunk(row));
      const stream = this.#streamOf(Math.floor(row.tail / CHUNKS_MAX));
      if (run === undefined) continue;
      if (stream !== undefined) this.#putRun(stream, run.lane, run.items);
      else this.#broken.push({ file: this.#stateName, table: "tail", values: Object.values(row) });
    }
  }

  /** What was to be read as erased though blocks still have it. */
  #eraseInBlocks(state: SalvagedRows | undefined): void {
    const rows = state?.of("erasure") ?? [];
    const due = (state?.of("shard")[0] as ShardRow | undefined)?.erasures;
    if (due === undefined ? state !== undefined : rows.length < due) {
      this.#contents.mayShowErased = true;
      this.#lacks("which entries were to be erased from segments: some may be there again");
    }
    for (const { stream_no, lane, from_seq, to_seq } of rows) {
      const name = lane === 0 ? undefined : this.#nameOfLane.get(lane);
      if (lane === 0 || name !== undefined) this.#contents.byNumber(stream_no).erase(from_seq, to_seq, name);
    }
  }

  #readKeys(state: SalvagedRows): void {
    for (const { stream_no, page } of state.of("key_page")) {
      const stream = this.#contents.byNumber(stream_no);
      for (const { prefix, counter, seq, value } of decoded(() => readKeyPage(page)) ?? [])
        noteKey(stream, `${prefix}${counter}`, seq, value);
    }
    for (const { stream_no, seq, alone } of state.of("key_hash")) {
      if (alone === null) continue;
      const found = decoded(() => aloneKey(alone));
      if (found !== undefined) noteKey(this.#contents.byNumber(stream_no), found.key, seq, found.value);
    }
  }
}

function noteKey(stream: StreamContents, key: string, seq: number, value: Uint8Array | null): void {
  if (value === null) stream.keyAt.set(seq, key);
  else stream.putKey(key, { seq, value, offset: 0 });
}

/** Whether no row of table `segment` is lost: they have dense numbers from 1, and runs name the newest. */
function areAll(segments: readonly SegmentRow[], runs: readonly RunRow[]): boolean {
  const numbers = new Set(segments.map(({ segment }) => segment));
  let newest = 0;
  for (const { segment } of [...segments, ...runs]) newest = Math.max(newest, segment);
  return newest > 0 && numbers.size === newest;
}

function bytesOf({ bytes, start, length }: Item): Uint8Array {
  return bytes.subarray(start, start + length);
}

/** Undefined for bytes that make no sense, though their checksum is right. */
function decoded<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
