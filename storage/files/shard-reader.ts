/**
 * Reads of one shard, inside one moment of its files: what a flush brings meanwhile is not seen, not even in part.
 *
 * A lane is its runs in blocks, then its tail (`state.db` lists both), then what layers have of its stream. A page of a
 * lane is a look-up for those and, where they are not enough, one or two runs. A page of a stream is its timeline,
 * which says whose turn it is, and the lanes that it names, then layers.
 */
import { CorruptionError } from "../errors.ts";
import type { SqlDatabase } from "./sqlite/database.ts";
import { itemsOf, type LoggedItem, type Piece } from "./layers/piece.ts";
import type { Streams, LayeredStream } from "./layers/layered-stream.ts";
import { findKey, highestCounter } from "./placed/key-reader.ts";
import type { RunRow, ShardRow, TailRow } from "./placed/state-file.ts";
import { erasuresOf, findLane, runsBelow, runsFrom, tailOf, timelinePage } from "./placed/state-reader.ts";
import type { KeyHit, Offset, Seq, ShardId, StoredEntry } from "../types.ts";
import type { BlockSource } from "./placed/block-source.ts";
import { isErased, masked, type NumberedRange } from "./placed/erasure.ts";
import { countedKey, counterBehind, isCountedPrefix } from "../encoding/counted-key.ts";
import type { Item, Run } from "../encoding/run.ts";
import { readChunk } from "./placed/tail.ts";

/** What a page of a stream needs of one lane. */
type Wanted = { lane: number; low: number; high: number; count: number };

export class ShardReader {
  readonly #shard: ShardId;
  readonly #state: SqlDatabase | undefined;
  readonly #hasErasures: boolean;
  readonly #streams: Streams;
  readonly #blocks: BlockSource;

  /**
   * @param state undefined while all of the shard is in layers
   * @param row its row; undefined while nothing was committed there
   */
  constructor(
    shard: ShardId,
    state: SqlDatabase | undefined,
    row: ShardRow | undefined,
    streams: Streams,
    blocks: BlockSource,
  ) {
    this.#shard = shard;
    this.#state = state;
    this.#hasErasures = (row?.erasures ?? 0) > 0;
    this.#streams = streams;
    this.#blocks = blocks;
  }

  forward({ reach, pieces }: LayeredStream, after: Seq, limit: number): StoredEntry[] {
    const end = Math.min(reach.headSeq, after + limit);
    if (end <= after) return [];
    const placed = Math.min(reach.placedSeq, end) - after;
    const found: StoredEntry[] = Array.from({ length: Math.max(0, placed) });
    if (placed > 0) {
      const erased = this.#erasures(reach.streamNo);
      for (const wanted of this.#lanesIn(reach.streamNo, after + 1, placed))
        this.#fill(found, after + 1, wanted, erased);
    }
    if (end <= reach.placedSeq) return found;
    for (const piece of pieces) {
      if (piece.lastSeq <= after || piece.firstSeq > end) continue;
      for (const item of itemsOf(piece)) {
        if (!item.alone && item.seq > after && item.seq <= end) found.push(toEntry(item, item.lane));
      }
    }
    if (found.length < end - after) throw this.#missing(reach.name, after + 1 + found.length);
    return found;
  }

  laneForward(stream: LayeredStream, name: string, after: Seq, limit: number): StoredEntry[] {
    const found: StoredEntry[] = [];
    for (const items of this.#laneRising(stream, name, after + 1)) {
      for (const item of items) {
        if (found.length >= limit) return found;
        if (item.seq > after) found.push(toEntry(item, name));
      }
    }
    return found;
  }

  laneBackward(stream: LayeredStream, name: string, before: Seq, limit: number): StoredEntry[] {
    const found: StoredEntry[] = [];
    if (limit <= 0) return found;
    for (const items of this.#laneFalling(stream, name, before)) {
      for (let i = items.length - 1; i >= 0 && found.length < limit; i--) {
        if (items[i]!.seq < before) found.push(toEntry(items[i]!, name));
      }
      if (found.length >= limit) break;
    }
    return found.reverse();
  }

  /** Where a key points. Of a key that occurs twice, the first. */
  key(stream: LayeredStream, key: string): KeyHit | undefined {
    if (key === "") return undefined;
    return (stream.isPlaced ? this.#placedKey(stream, key) : undefined) ?? recentKey(stream, key);
  }

  /** As `SegmentStore.highestCounter`. */
  highestCounter({ reach, pieces, isPlaced }: LayeredStream, prefix: string): number | undefined {
    if (isPlaced && !isCountedPrefix(prefix)) return undefined;
    let highest = isPlaced ? highestCounter(this.#placed, reach.streamNo, prefix) : -1;
    for (const piece of pieces) {
      if (!hasText(piece, prefix)) continue;
      for (const { key } of itemsOf(piece)) highest = Math.max(highest, counterBehind(prefix, key));
    }
    return highest;
  }

  #placedKey(stream: LayeredStream, key: string): KeyHit | undefined {
    const { streamNo } = stream.reach;
    const keyAt = (seq: number): string | undefined => this.forward(stream, (seq - 1) as Seq, 1)[0]?.key;
    const hit = findKey(this.#placed, streamNo, key, (seq) => keyAt(seq) === key);
    if (hit === undefined || hit.value !== null) return hit;
    return this.#hasErasures && isErased(this.#placed, streamNo, hit.seq) ? undefined : hit;
  }

  /**
   * Offsets of a stream rise with its seqs, so the first one above is found by steps that double, back from the head,
   * and then by halving.
   */
  streamsSince(offset: Offset): { stream: string; fromSeq: Seq }[] {
    return [...this.#streams.beyond(offset)].map((stream) => {
      const isAbove = (seq: number): boolean => this.forward(stream, (seq - 1) as Seq, 1)[0]!.offset > offset;
      let above = stream.reach.headSeq;
      let below = above - 1;
      for (let step = 1; below > 0 && isAbove(below); step *= 2) {
        above = below;
        below = Math.max(0, below - step);
      }
      while (above - below > 1) {
        const middle = (above + below) >>> 1;
        if (isAbove(middle)) above = middle;
        else below = middle;
      }
      return { stream: stream.reach.name, fromSeq: above as Seq };
    });
  }

  /** The lanes that have the `count` entries from seq `first` on. */
  #lanesIn(streamNo: number, first: number, count: number): Iterable<Wanted> {
    const lanes = new Map<number, Wanted>();
    const end = first + count;
    for (let seq = first; seq < end;) {
      const page = timelinePage(this.#placed, streamNo, seq);
      let at = page.first;
      for (const { lane, count: entries } of page.stretches) {
        const from = Math.max(at, seq);
        const to = Math.min(at + entries, end);
        if (from < to) addStretch(lanes, lane, from, to);
        at += entries;
      }
      if (at <= seq) throw this.#missing(`stream number ${streamNo}`, seq);
      seq = at;
    }
    return lanes.values();
  }

  /** Puts the entries of one lane where they belong in the page that begins with seq `first`. */
  #fill(page: StoredEntry[], first: number, { lane, low, high, count }: Wanted, erased: NumberedRange[]): void {
    let left = count;
    for (const { lane: name, items } of this.#rising(lane, low)) {
      for (const item of masked(items, lane, erased)) {
        if (item.seq < low) continue;
        if (item.seq > high) break;
        page[item.seq - first] = toEntry(item, name);
        left--;
      }
      if (left === 0) return;
    }
    throw this.#missing(`lane ${lane}`, low);
  }

  #erasures(streamNo: number): NumberedRange[] {
    return this.#hasErasures ? erasuresOf(this.#placed, streamNo) : [];
  }

  /** The state of a shard that has placed something. */
  get #placed(): SqlDatabase {
    if (this.#state === undefined) throw new CorruptionError(`shard ${this.#shard}`, "state.db", "it is missing");
    return this.#state;
  }

  #missing(what: string, seq: number): CorruptionError {
    return new CorruptionError(
      this.#state?.file ?? `shard ${this.#shard}`,
      `${what} from seq ${seq}`,
      "an entry is missing",
    );
  }

  /** The parts of a lane from the one that has `low`, or the first after it, on. */
  *#laneRising({ reach, pieces }: LayeredStream, name: string, low: number): Iterable<Item[]> {
    const lane = low > reach.placedSeq ? undefined : findLane(this.#placed, reach.streamNo, name);
    if (lane !== undefined) {
      const erased = this.#erasures(reach.streamNo);
      for (const run of this.#rising(lane, low)) yield masked(run.items, lane, erased);
    }
    for (const piece of pieces) if (piece.lastSeq >= low) yield ofLane(piece, name);
  }

  /** The parts of a lane with entries below `before`, newest first. */
  *#laneFalling({ reach, pieces, isPlaced }: LayeredStream, name: string, before: number): Iterable<Item[]> {
    for (const piece of pieces.toReversed()) {
      if (piece.firstSeq > 0 && piece.firstSeq < before) yield ofLane(piece, name);
    }
    const lane = isPlaced ? findLane(this.#placed, reach.streamNo, name) : undefined;
    if (lane === undefined) return;
    const erased = this.#erasures(reach.streamNo);
    for (const run of this.#falling(lane, before)) yield masked(run.items, lane, erased);
  }

  /** Its placed parts. */
  *#rising(lane: number, low: number): Iterable<Run> {
    for (let from = low; ;) {
      const rows = runsFrom(this.#placed, lane, from);
      for (const row of rows) yield this.#run(row);
      if (rows.length < 2) break;
      from = rows.at(-1)!.last_seq + 1;
    }
    for (const row of tailOf(this.#placed, lane)) if (row.last_seq >= low) yield this.#chunk(row);
  }

  *#falling(lane: number, before: number): Iterable<Run> {
    for (const row of tailOf(this.#placed, lane).reverse()) if (row.first_seq < before) yield this.#chunk(row);
    const [around] = runsFrom(this.#placed, lane, before);
    if (around !== undefined && around.first_seq < before) yield this.#run(around);
    for (let from = before; ;) {
      const rows = runsBelow(this.#placed, lane, from);
      for (const row of rows) yield this.#run(row);
      if (rows.length < 2) return;
      from = rows.at(-1)!.last_seq;
    }
  }

  #run(row: RunRow): Run {
    return this.#blocks.run(this.#placed, this.#shard, row, row.lane);
  }

  #chunk(row: TailRow): Run {
    return this.#decoded(`table tail, row ${row.tail}`, () => readChunk(row));
  }

  #decoded<T>(place: string, decode: () => T): T {
    try {
      return decode();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new CorruptionError(this.#placed.file, place, error.message);
    }
  }
}

function ofLane(piece: Piece, name: string): LoggedItem[] {
  return itemsOf(piece).filter((item) => !item.alone && item.lane === name);
}

function recentKey({ pieces }: LayeredStream, key: string): KeyHit | undefined {
  // A piece has a key, or what stands before its counter, as text: most pieces need not be decoded to say that they do
  // not.
  const text = countedKey(key)?.prefix ?? key;
  for (const piece of pieces) {
    if (!hasText(piece, text)) continue;
    const item = itemsOf(piece).find((one) => one.key === key);
    if (item !== undefined) return { seq: item.seq, value: item.alone ? bytesOf(item) : null };
  }
  return undefined;
}

function hasText({ bytes, at, end }: Piece, text: string): boolean {
  return bytes.subarray(at, end).includes(text, 0, "latin1");
}

/** Entries `[from, to)` are of that lane. */
function addStretch(lanes: Map<number, Wanted>, lane: number, from: number, to: number): void {
  const known = lanes.get(lane);
  if (known === undefined) lanes.set(lane, { lane, low: from, high: to - 1, count: to - from });
  else {
    known.high = to - 1;
    known.count += to - from;
  }
}

function toEntry(item: Item, lane: string): StoredEntry {
  const { seq, offset, key } = item;
  return { seq, offset, lane, key, payload: bytesOf(item) };
}

function bytesOf({ bytes, start, length }: Item): Uint8Array {
  return bytes.subarray(start, start + length);
}
