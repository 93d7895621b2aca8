/**
 * Reads of one shard, inside one view of its state: what a flush brings meanwhile is not seen, not even in part.
 *
 * A lane is its runs, in blocks, then its tail and what is recent in its stream, both in the state itself. A page of a lane is a look-up for those and, where
 * they are not enough, one or two runs. A page of a stream is its timeline, which says whose turn it is, and the lanes that it names, then what is recent.
 */
import { CorruptionError } from "../errors.ts";
import type { SqlDatabase } from "../sqlite.ts";
import { findKey } from "../state/key-reader.ts";
import type { RunRow, StreamRow, TailRow } from "../state/state-file.ts";
import {
  erasuresOf,
  findLane,
  recentFrom,
  runsBelow,
  runsFrom,
  streamsBeyond,
  tailOf,
  timelinePage,
} from "../state/state-reader.ts";
import type { KeyHit, Offset, Seq, ShardId, StoredEntry } from "../types.ts";
import type { BlockSource } from "./block-source.ts";
import { isErased, masked, type NumberedRange } from "./erasure.ts";
import { type LoggedItem, readRecent } from "./recent.ts";
import type { Item, Run } from "./run.ts";
import { readChunk } from "./tail.ts";

/** What a page of a stream needs of one lane. */
type Wanted = { lane: number; low: number; high: number; count: number };

export class ShardReader {
  readonly #shard: ShardId;
  readonly #state: SqlDatabase;
  readonly #blocks: BlockSource;

  constructor(shard: ShardId, state: SqlDatabase, blocks: BlockSource) {
    this.#shard = shard;
    this.#state = state;
    this.#blocks = blocks;
  }

  forward(stream: StreamRow, after: Seq, limit: number): StoredEntry[] {
    const end = Math.min(stream.head_seq, after + limit);
    if (end <= after) return [];
    const placed = Math.min(stream.placed_seq, end) - after;
    const found: StoredEntry[] = Array.from({ length: Math.max(0, placed) });
    if (placed > 0) {
      const erased = erasuresOf(this.#state, stream.stream_no);
      for (const wanted of this.#lanesIn(stream, after + 1, placed)) this.#fill(found, after + 1, wanted, erased);
    }
    if (end <= stream.placed_seq) return found;
    for (const item of this.#recent(stream)) {
      if (!item.alone && item.seq > after && item.seq <= end) found.push(toEntry(item, item.lane));
    }
    if (found.length < end - after) throw this.#missing(stream.name, after + 1 + found.length);
    return found;
  }

  laneForward(stream: StreamRow, name: string, after: Seq, limit: number): StoredEntry[] {
    const found: StoredEntry[] = [];
    for (const items of this.#laneRising(stream, name, after + 1)) {
      for (const item of items) {
        if (found.length >= limit) return found;
        if (item.seq > after) found.push(toEntry(item, name));
      }
    }
    return found;
  }

  laneBackward(stream: StreamRow, name: string, before: Seq, limit: number): StoredEntry[] {
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
  key(stream: StreamRow, key: string): KeyHit | undefined {
    if (key === "") return undefined;
    return (stream.page_seq > 0 ? this.#placedKey(stream, key) : undefined) ?? this.#recentKey(stream, key);
  }

  #placedKey(stream: StreamRow, key: string): KeyHit | undefined {
    const keyAt = (seq: number): string | undefined => this.forward(stream, (seq - 1) as Seq, 1)[0]?.key;
    const hit = findKey(this.#state, stream.stream_no, key, (seq) => keyAt(seq) === key);
    if (hit === undefined || hit.value !== null) return hit;
    return isErased(this.#state, stream.stream_no, hit.seq) ? undefined : hit;
  }

  #recentKey(stream: StreamRow, key: string): KeyHit | undefined {
    const item = this.#recent(stream).find((one) => one.key === key);
    return item && { seq: item.seq, value: item.alone ? bytesOf(item) : null };
  }

  /** Offsets of a stream rise with its seqs, so the first one above is found by steps that double, back from the head, and then by halving. */
  streamsSince(offset: Offset): { stream: string; fromSeq: Seq }[] {
    return streamsBeyond(this.#state, offset).map((stream) => {
      const isAbove = (seq: number): boolean => this.forward(stream, (seq - 1) as Seq, 1)[0]!.offset > offset;
      let above = stream.head_seq;
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
      return { stream: stream.name, fromSeq: above as Seq };
    });
  }

  /** The lanes that have the `count` entries from seq `first` on. */
  #lanesIn(stream: StreamRow, first: number, count: number): Iterable<Wanted> {
    const lanes = new Map<number, Wanted>();
    const end = first + count;
    for (let seq = first; seq < end;) {
      const page = timelinePage(this.#state, stream, seq);
      let at = page.first;
      for (const { lane, count: entries } of page.stretches) {
        const from = Math.max(at, seq);
        const to = Math.min(at + entries, end);
        if (from < to) addStretch(lanes, lane, from, to);
        at += entries;
      }
      if (at <= seq) throw this.#missing(stream.name, seq);
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

  #missing(what: string, seq: number): CorruptionError {
    return new CorruptionError(this.#state.file, `${what} from seq ${seq}`, "an entry is missing");
  }

  #recent(stream: StreamRow): LoggedItem[] {
    if (stream.chunks === 0) return [];
    return recentFrom(this.#state, stream.stream_no).flatMap((row) =>
      this.#decoded(`table recent, row ${row.recent}`, () => readRecent(row)),
    );
  }

  #recentOfLane(stream: StreamRow, name: string): Item[] {
    return this.#recent(stream).filter((item) => !item.alone && item.lane === name);
  }

  /** The parts of a lane from the one that has `low`, or the first after it, on. */
  *#laneRising(stream: StreamRow, name: string, low: number): Iterable<Item[]> {
    const lane = low > stream.placed_seq ? undefined : findLane(this.#state, stream.stream_no, name);
    if (lane !== undefined) {
      const erased = erasuresOf(this.#state, stream.stream_no);
      for (const run of this.#rising(lane, low)) yield masked(run.items, lane, erased);
    }
    yield this.#recentOfLane(stream, name);
  }

  /** The parts of a lane with entries below `before`, newest first. */
  *#laneFalling(stream: StreamRow, name: string, before: number): Iterable<Item[]> {
    if (before > stream.placed_seq) yield this.#recentOfLane(stream, name);
    const lane = stream.page_seq === 0 ? undefined : findLane(this.#state, stream.stream_no, name);
    if (lane === undefined) return;
    const erased = erasuresOf(this.#state, stream.stream_no);
    for (const run of this.#falling(lane, before)) yield masked(run.items, lane, erased);
  }

  /** Its placed parts. */
  *#rising(lane: number, low: number): Iterable<Run> {
    for (let from = low; ;) {
      const rows = runsFrom(this.#state, lane, from);
      for (const row of rows) yield this.#run(row);
      if (rows.length < 2) break;
      from = rows.at(-1)!.last_seq + 1;
    }
    for (const row of tailOf(this.#state, lane)) if (row.last_seq >= low) yield this.#chunk(row);
  }

  *#falling(lane: number, before: number): Iterable<Run> {
    for (const row of tailOf(this.#state, lane).reverse()) if (row.first_seq < before) yield this.#chunk(row);
    const [around] = runsFrom(this.#state, lane, before);
    if (around !== undefined && around.first_seq < before) yield this.#run(around);
    for (let from = before; ;) {
      const rows = runsBelow(this.#state, lane, from);
      for (const row of rows) yield this.#run(row);
      if (rows.length < 2) return;
      from = rows.at(-1)!.last_seq;
    }
  }

  #run(row: RunRow): Run {
    return this.#blocks.run(this.#state, this.#shard, row, row.lane);
  }

  #chunk(row: TailRow): Run {
    return this.#decoded(`table tail, row ${row.tail}`, () => readChunk(row));
  }

  #decoded<T>(place: string, decode: () => T): T {
    try {
      return decode();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new CorruptionError(this.#state.file, place, error.message);
    }
  }
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
