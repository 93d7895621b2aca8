/**
 * What is durable of one shard, read.
 *
 * Reads merge three layers, newest first: the active memtable, the frozen one while it is being flushed, the segments.
 * They see every record that was committed before the call, and no other (G5).
 */
import { isErased, type MemErasure, type MemStream, Memtable } from "./memtable.ts";
import type { SegmentStore } from "../files/segment-store.ts";
import type { SlabPool } from "./slab-pool.ts";
import { laidOver } from "../encoding/laid-over.ts";
import type { KeyHit, Offset, Seq, ShardId, StoredEntry, StreamHead, StreamSnapshot } from "../types.ts";

const NOTHING = new Uint8Array(0);

export class DurableReads {
  readonly shard: ShardId;
  readonly #segments: SegmentStore;
  protected active: Memtable;
  protected frozen: Memtable | undefined;

  constructor(shard: ShardId, segments: SegmentStore, slabs: SlabPool) {
    this.shard = shard;
    this.active = new Memtable(slabs);
    this.#segments = segments;
  }

  /**
   * All that `ask` reads, of this shard alone, costs one look at its files. `ask` returns in the same turn of the event
   * loop.
   */
  within<T>(ask: () => T): T {
    return this.#segments.within(this.shard, ask);
  }

  head(stream: string): StreamHead | undefined {
    return this.headInMemory(stream) ?? this.#segments.head(this.shard, stream);
  }

  /**
   * Undefined when memtables have nothing of the stream: then its head is what it was when it was last asked for, or a
   * flush has ended since (`flushes`).
   */
  headInMemory(stream: string): StreamHead | undefined {
    return this.active.streams.get(stream) ?? this.frozen?.streams.get(stream);
  }

  streamName(streamNo: number): string | undefined {
    for (const table of [this.active, this.frozen]) {
      if (table) for (const stream of table.streams.values()) if (stream.streamNo === streamNo) return stream.name;
    }
    return this.#segments.streamName(this.shard, streamNo);
  }

  /** The name of every stream. */
  streams(): Set<string> {
    const names = new Set(this.#segments.streamNames(this.shard));
    for (const table of [this.frozen, this.active]) {
      if (table) for (const name of table.streams.keys()) names.add(name);
    }
    return names;
  }

  cell(stream: string, name: string): Uint8Array | undefined {
    return cellIn(this.#memStreams(stream), name, () => this.#segments.cell(this.shard, stream, name));
  }

  cells(stream: string): Map<string, Uint8Array> {
    return new Map(this.snapshot(stream)?.cells());
  }

  /** Undefined when the stream is not there. Cells that are set later may be among its cells, or not. */
  snapshot(stream: string): StreamSnapshot | undefined {
    const flushed = this.#segments.snapshot(this.shard, stream);
    const mems = this.#memStreams(stream);
    const [newest] = mems;
    if (newest === undefined) return flushed;
    for (const { table } of mems) table.keep();
    return {
      head: { streamNo: newest.streamNo, headSeq: newest.headSeq },
      cell: (name) => cellIn(mems, name, () => flushed?.cell(name)),
      cells: () => laidOver([...mems.map((mem) => mem.cells()), ...(flushed ? [flushed.cells()] : [])]),
    };
  }

  findKey(stream: string, key: string): KeyHit | undefined {
    for (const mem of this.#memStreams(stream)) {
      const hit = mem.findKey(key);
      if (hit) return hit;
    }
    const hit = this.#segments.findKey(this.shard, stream, key);
    if (hit === undefined || hit.value !== null || this.#erasures(stream).length === 0) return hit;
    const [entry] = this.#flushedForward(stream, (hit.seq - 1) as Seq, 1);
    return entry?.key === key ? hit : undefined;
  }

  /**
   * The highest counter of the keys that are `prefix` and a plain number of at most 15 digits; -1 when there is none.
   * Keys of erased entries may count. Undefined when only whole keys can be found, by `findKey`: some of those whose
   * prefix ends in a letter.
   */
  highestCounter(stream: string, prefix: string): number | undefined {
    let highest = this.#segments.highestCounter(this.shard, stream, prefix);
    if (highest === undefined) return undefined;
    for (const mem of this.#memStreams(stream)) highest = Math.max(highest, mem.highestCounter(prefix));
    return highest;
  }

  /** Entries with `seq > after`, rising, at most `limit`. */
  readForward(stream: string, after: Seq, limit: number): StoredEntry[] {
    return this.#forward(stream, after, limit, undefined, () => this.#flushedForward(stream, after, limit));
  }

  /** Entries of one lane with `seq > after`, rising, at most `limit`. */
  readLaneForward(stream: string, lane: string, after: Seq, limit: number): StoredEntry[] {
    return this.#forward(stream, after, limit, lane, () =>
      this.#withoutErased(stream, this.#segments.readLaneForward(this.shard, stream, lane, after, limit)),
    );
  }

  #forward(
    stream: string,
    after: Seq,
    limit: number,
    lane: string | undefined,
    fromSegments: () => StoredEntry[],
  ): StoredEntry[] {
    const mems = this.#memStreams(stream).reverse();
    const oldest = mems.find((mem) => mem.entryCount > 0)?.firstSeq;
    const isInMemory = oldest !== undefined && oldest <= after + 1;
    const found = isInMemory ? [] : fromSegments();
    for (const mem of mems) {
      const { entryCount } = mem;
      // A flush may be on disk while its memtable is still here: go on where the segments ended.
      const from = found[found.length - 1]?.seq ?? after;
      for (let i = mem.indexAfter(from); i < entryCount && found.length < limit; i++) {
        if (lane === undefined || mem.isInLane(i, lane)) found.push(mem.entry(i));
      }
    }
    return found;
  }

  /** Entries of one lane with `seq < before`, the newest `limit` of them, rising. */
  readLaneBackward(stream: string, lane: string, before: Seq, limit: number): StoredEntry[] {
    const found: StoredEntry[] = [];
    let beforeMemory = before;
    for (const mem of this.#memStreams(stream)) {
      beforeMemory = Math.min(beforeMemory, mem.firstSeq ?? before) as Seq;
      for (let i = mem.indexAfter((before - 1) as Seq) - 1; i >= 0 && found.length < limit; i--) {
        if (mem.isInLane(i, lane)) found.push(mem.entry(i));
      }
      if (mem.firstSeq === 1) return found.reverse();
    }
    found.reverse();
    if (found.length === limit) return found;
    const older = this.#segments.readLaneBackward(this.shard, stream, lane, beforeMemory, limit - found.length);
    return [...this.#withoutErased(stream, older), ...found];
  }

  #flushedForward(stream: string, after: Seq, limit: number): StoredEntry[] {
    return this.#withoutErased(stream, this.#segments.readForward(this.shard, stream, after, limit));
  }

  /** Flushed entries as they are by now: an erasure may be in memory still. */
  #withoutErased(stream: string, entries: StoredEntry[]): StoredEntry[] {
    const erasures = this.#erasures(stream);
    if (erasures.length === 0) return entries;
    return entries.map((entry) => {
      return isErased(erasures, entry.lane, entry.seq) ? { ...entry, key: "", payload: NOTHING } : entry;
    });
  }

  #erasures(stream: string): MemErasure[] {
    return this.#memStreams(stream).flatMap((mem) => mem.erasures);
  }

  /** Streams with an entry above `offset`, and the lowest such seq of each. */
  streamsSince(offset: Offset): { stream: string; fromSeq: Seq }[] {
    const since = new Map(
      this.#segments.streamsSince(this.shard, offset).map((found) => [found.stream, found.fromSeq]),
    );
    for (const table of [this.frozen, this.active]) {
      if (!table || table.lastOffset <= offset) continue;
      for (const stream of table.streams.values()) {
        const fromSeq = stream.seqSince(offset);
        if (fromSeq !== undefined && !since.has(stream.name)) since.set(stream.name, fromSeq);
      }
    }
    return [...since].map(([stream, fromSeq]) => ({ stream, fromSeq }));
  }

  /** The stream's parts in memory, newest first. */
  #memStreams(stream: string): MemStream[] {
    const active = this.active.streams.get(stream);
    const frozen = this.frozen?.streams.get(stream);
    if (active && frozen) return [active, frozen];
    if (active) return [active];
    return frozen ? [frozen] : [];
  }
}

function cellIn(mems: MemStream[], name: string, below: () => Uint8Array | undefined): Uint8Array | undefined {
  for (const mem of mems) {
    const value = mem.cell(name);
    if (value !== undefined) return value ?? undefined;
  }
  return below();
}
