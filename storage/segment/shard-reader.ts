/**
 * Reads of one shard, inside one view of its state: what a flush brings meanwhile is not seen, not even in part.
 *
 * Every page goes: a few rows of the directory, then the blocks they name, each once. The number of segments does not matter.
 */
import type { SqlDatabase } from "../sqlite.ts";
import type { RunRow } from "../state/state-file.ts";
import {
  blocksOfHash,
  findKeyRun,
  findLane,
  findStreamName,
  laneRunsAfter,
  laneRunsBefore,
  runsAfter,
  runsOfKeyRun,
} from "../state/state-reader.ts";
import type { KeyHit, Offset, Seq, ShardId, StoredEntry } from "../types.ts";
import type { Item } from "./block.ts";
import type { BlockSource } from "./block-source.ts";
import { CorruptionError } from "../errors.ts";
import { type CountedKey, countedKey } from "./key-shape.ts";

/** Directory rows fetched at once. */
const RUNS_AT_ONCE_MAX = 64;

export class ShardReader {
  readonly #shard: ShardId;
  readonly #state: SqlDatabase;
  readonly #blocks: BlockSource;

  constructor(shard: ShardId, state: SqlDatabase, blocks: BlockSource) {
    this.#shard = shard;
    this.#state = state;
    this.#blocks = blocks;
  }

  forward(streamNo: number, after: Seq, limit: number): StoredEntry[] {
    return this.#rising(
      streamNo,
      limit,
      after,
      (from, rows) => runsAfter(this.#state, streamNo, from, rows),
      isAfter(after),
    );
  }

  laneForward(streamNo: number, lane: string, after: Seq, limit: number): StoredEntry[] {
    const laneNo = findLane(this.#state, streamNo, lane);
    if (laneNo === undefined) return [];
    const runs = (from: number, rows: number): RunRow[] => laneRunsAfter(this.#state, streamNo, laneNo, from, rows);
    return this.#rising(streamNo, limit, after, runs, (item) => item.seq > after && item.lane === lane);
  }

  laneBackward(streamNo: number, lane: string, before: Seq, limit: number): StoredEntry[] {
    const laneNo = findLane(this.#state, streamNo, lane);
    if (laneNo === undefined || limit <= 0) return [];
    const parts: Item[][] = [];
    let count = 0;
    const take = (run: RunRow): void => {
      const part = this.#items(streamNo, run).filter((item) => !item.alone && item.seq < before && item.lane === lane);
      parts.push(part);
      count += part.length;
    };
    for (const run of laneRunsAfter(this.#state, streamNo, laneNo, before - 1, 1)) take(run);
    for (let from: number = before; count < limit;) {
      const runs = laneRunsBefore(this.#state, streamNo, laneNo, from, atOnce(limit - count));
      for (const run of runs) if (count < limit) take(run);
      const lowest = runs.at(-1);
      if (lowest === undefined) break;
      from = lowest.last_seq;
    }
    return parts.reverse().flat().slice(-limit).map(toEntry);
  }

  /** Where a key points. Of a key that occurs twice, the first. */
  key(streamNo: number, key: string): KeyHit | undefined {
    if (key === "") return undefined;
    const counted = countedKey(key);
    const item =
      (counted === undefined ? undefined : this.#inKeyRun(streamNo, key, counted)) ?? this.#byHash(streamNo, key);
    if (item === undefined) return undefined;
    return { seq: item.seq, value: item.alone ? bytesOf(item) : null };
  }

  streamsSince(offset: Offset): { stream: string; fromSeq: Seq }[] {
    const lowest = new Map<number, Seq>();
    this.#blocks.beyond(this.#state, this.#shard, offset, (streamNo, items) => {
      const first = items.find((item) => !item.alone && item.offset > offset);
      if (first !== undefined && first.seq < (lowest.get(streamNo) ?? Infinity)) lowest.set(streamNo, first.seq);
    });
    return [...lowest].map(([streamNo, fromSeq]) => ({ stream: this.#streamName(streamNo), fromSeq }));
  }

  /** The first `limit` wanted entries of the runs that `next` names in turn. */
  #rising(
    streamNo: number,
    limit: number,
    after: number,
    next: (from: number, rows: number) => RunRow[],
    isWanted: (item: Item) => boolean,
  ): StoredEntry[] {
    const found: StoredEntry[] = [];
    for (let from = after; found.length < limit;) {
      const runs = next(from, atOnce(limit - found.length));
      for (const run of runs) {
        if (found.length >= limit) break;
        for (const item of this.#items(streamNo, run)) if (!item.alone && isWanted(item)) found.push(toEntry(item));
      }
      const highest = runs.at(-1);
      if (highest === undefined) break;
      from = highest.last_seq;
    }
    return found.slice(0, Math.max(0, limit));
  }

  /** By halving: in the runs of a key run its counters rise. */
  #inKeyRun(streamNo: number, key: string, counted: CountedKey): Item | undefined {
    const keyRun = findKeyRun(this.#state, streamNo, counted);
    if (keyRun === undefined) return undefined;
    const runs = runsOfKeyRun(this.#state, streamNo, keyRun);
    const counterOf = (item: Item): number => {
      const other = item.keyRun ? countedKey(item.key) : undefined;
      const isMember = other?.prefix === counted.prefix && other.counter >= keyRun.counter_min;
      return isMember && other.counter <= keyRun.counter_max ? other.counter : -1;
    };
    for (let low = 0, high = runs.length - 1; low <= high;) {
      const middle = (low + high) >> 1;
      const probe = this.#firstWith(streamNo, runs, middle, high, (item) => counterOf(item) >= 0);
      if (probe === undefined) {
        high = middle - 1;
        continue;
      }
      const found = probe.items.find((item) => item.keyRun && item.key === key);
      if (found !== undefined) return found;
      if (counterOf(probe.items[0]!) > counted.counter) high = middle - 1;
      else low = probe.at + 1;
    }
    return undefined;
  }

  /** The first of `runs[from, to]` that has items of this kind, and those. */
  #firstWith(
    streamNo: number,
    runs: RunRow[],
    from: number,
    to: number,
    isWanted: (item: Item) => boolean,
  ): { at: number; items: Item[] } | undefined {
    for (let at = from; at <= to; at++) {
      const items = this.#items(streamNo, runs[at]!).filter(isWanted);
      if (items.length > 0) return { at, items };
    }
    return undefined;
  }

  #byHash(streamNo: number, key: string): Item | undefined {
    for (const place of blocksOfHash(this.#state, streamNo, key)) {
      const found = this.#blocks.run(this.#state, this.#shard, place, streamNo).find((item) => item.key === key);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #items(streamNo: number, run: RunRow): Item[] {
    return this.#blocks.run(this.#state, this.#shard, run, streamNo);
  }

  #streamName(streamNo: number): string {
    const name = findStreamName(this.#state, streamNo);
    if (name !== undefined) return name;
    throw new CorruptionError(this.#state.file, "table stream", `stream ${streamNo} has blocks but no row`);
  }
}

function isAfter(after: Seq): (item: Item) => boolean {
  return (item) => item.seq > after;
}

function atOnce(limit: number): number {
  return Math.min(RUNS_AT_ONCE_MAX, limit);
}

function toEntry(item: Item): StoredEntry {
  return { seq: item.seq, offset: item.offset, lane: item.lane, key: item.key, payload: bytesOf(item) };
}

function bytesOf(item: Item): Uint8Array {
  return item.bytes.subarray(item.start, item.start + item.length);
}
