/**
 * One shard to look at, beside a running server too: its files, and what the log has beyond them. Changes nothing that
 * counts: SQLite may fold in its own write-ahead files, as it would at the next start.
 *
 * The log is read first, then the files: what is flushed in between is found in both, and nothing is missed.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { LayerSource } from "../files/layers/page-table.ts";
import { Streams } from "../files/layers/layered-stream.ts";
import { shardDirectory } from "../files/sqlite/paths.ts";
import { openSegmentStore } from "../files/sqlite-segments.ts";
import type { SegmentStore, ShardReach } from "../files/segment-store.ts";
import type { SqlValue } from "../files/sqlite/database.ts";
import { hasPlacedTables } from "../files/placed/state-reader.ts";
import type { Offset, Seq, ShardId, StoredEntry, Term } from "../types.ts";
import { eachRecord, readLog } from "./log-reader.ts";
import { withShardLayers } from "./shard-layers.ts";

type LogEntry = { stream: string; lane: string; key: string; seq: Seq; offset: Offset; payload: Uint8Array };

/** What was erased of the entries below `beforeOffset`; `lane` is undefined for all lanes. */
type LogErasure = { stream: string; lane: string | undefined; fromSeq: Seq; toSeq: Seq; beforeOffset: Offset };

/** What the log holds of a shard. Cells: undefined for a cleared one. */
type LogPart = {
  term: Term;
  firstOffset: Offset;
  lastOffset: Offset;
  entries: LogEntry[];
  erasures: LogErasure[];
  cells: Map<string, Map<string, Uint8Array | undefined>>;
};

export type StreamRow = { name: string; headSeq: number };
export type ShardFile = { name: string; bytes: number };
/**
 * `bytes` before packing; `itemBytes`: what its items take when they are placed, about. Those that do not `count` are
 * in the file before them, too.
 */
/** A row as SQLite has it. */
export type TableRow = Record<string, SqlValue>;

export type LayerRow = {
  file: string;
  layer: number;
  pages: number;
  bytes: number;
  itemBytes: number;
  counts: boolean;
};

export class InspectedShard {
  readonly shard: ShardId;
  readonly #directory: string;
  readonly #segments: SegmentStore;
  readonly #log: LogPart;

  static open(directory: string, shard: ShardId): InspectedShard {
    return new InspectedShard(directory, shard, readLogPart(directory, shard));
  }

  private constructor(directory: string, shard: ShardId, log: LogPart) {
    this.shard = shard;
    this.#directory = directory;
    this.#log = log;
    this.#segments = openSegmentStore({ dir: directory });
  }

  get reach(): ShardReach {
    return this.#segments.reach(this.shard);
  }

  /** Offsets that the log holds, 0 for none. */
  get inLog(): { firstOffset: number; lastOffset: number; term: number } {
    return this.#log;
  }

  files(): ShardFile[] {
    const at = shardDirectory(this.#directory, this.shard);
    if (!existsSync(at)) return [];
    return readdirSync(at)
      .toSorted()
      .map((name) => ({ name, bytes: statSync(join(at, name), { throwIfNoEntry: false })?.size ?? 0 }));
  }

  /** Every row of table `segment`, as it is. */
  segments(): TableRow[] {
    return withShardLayers(this.#directory, this.shard, ({ state }) => {
      if (state === undefined || !hasPlacedTables(state)) return [];
      return state.sql("SELECT * FROM segment ORDER BY segment").all<TableRow>();
    });
  }

  /** The oldest first. */
  layers(): LayerRow[] {
    return withShardLayers(this.#directory, this.shard, ({ state, sources, left }) => {
      const rows = (source: LayerSource, counts: boolean): LayerRow[] =>
        source.stack.layers.map(({ layer, pages, rawBytes, itemBytes }) => {
          return {
            file: source.db === state ? "state.db" : "recent.db",
            layer,
            pages,
            bytes: rawBytes,
            itemBytes,
            counts,
          };
        });
      return [...sources.flatMap((source) => rows(source, true)), ...(left === undefined ? [] : rows(left, false))];
    });
  }

  /** The largest first. */
  streams(limit: number): { rows: StreamRow[]; count: number } {
    const heads = new Map<string, number>();
    withShardLayers(this.#directory, this.shard, ({ sources }) => {
      for (const { reach } of new Streams(sources).each()) heads.set(reach.name, reach.headSeq);
    });
    for (const { stream, seq } of this.#log.entries) heads.set(stream, Math.max(seq, heads.get(stream) ?? 0));
    for (const stream of this.#log.cells.keys()) if (!heads.has(stream)) heads.set(stream, 0);
    const all = [...heads].map(([name, headSeq]) => ({ name, headSeq }));
    all.sort((a, b) => b.headSeq - a.headSeq || (a.name < b.name ? -1 : 1));
    return { rows: all.slice(0, limit), count: all.length };
  }

  streamName(streamNo: number): string | undefined {
    return this.#segments.streamName(this.shard, streamNo);
  }

  headSeq(stream: string): Seq {
    const flushed = this.#segments.head(this.shard, stream)?.headSeq ?? 0;
    return this.#logEntries(stream).reduce((head, { seq }) => Math.max(head, seq), flushed) as Seq;
  }

  /** Entries with `seq > after`, rising, at most `limit`; of one lane when it is named. */
  forward(stream: string, after: Seq, limit: number, lane?: string): StoredEntry[] {
    const flushed =
      lane === undefined
        ? this.#segments.readForward(this.shard, stream, after, limit)
        : this.#segments.readLaneForward(this.shard, stream, lane, after, limit);
    const last = flushed.at(-1)?.seq ?? after;
    const inLog = this.#logEntries(stream, lane).filter(({ seq }) => seq > last);
    return this.#withoutErased(stream, [...flushed, ...inLog].slice(0, limit));
  }

  /** The newest `limit` entries, rising. */
  newest(stream: string, limit: number, lane?: string): StoredEntry[] {
    const head = this.headSeq(stream);
    if (lane === undefined) return this.forward(stream, Math.max(0, head - limit) as Seq, limit);
    const inLog = this.#logEntries(stream, lane);
    const flushedHead = (this.#segments.head(this.shard, stream)?.headSeq ?? 0) as Seq;
    const flushed = this.#segments.readLaneBackward(this.shard, stream, lane, (flushedHead + 1) as Seq, limit);
    const found = [...flushed, ...inLog.filter(({ seq }) => seq > flushedHead)].slice(-limit);
    return this.#withoutErased(stream, found);
  }

  cells(stream: string): Map<string, Uint8Array> {
    const cells = this.#segments.cells(this.shard, stream);
    for (const [key, value] of this.#log.cells.get(stream) ?? []) {
      if (value === undefined) cells.delete(key);
      else cells.set(key, value);
    }
    return cells;
  }

  async close(): Promise<void> {
    await this.#segments.close();
  }

  #logEntries(stream: string, lane?: string): StoredEntry[] {
    return this.#log.entries.filter((entry) => entry.stream === stream && (lane === undefined || entry.lane === lane));
  }

  #withoutErased(stream: string, entries: StoredEntry[]): StoredEntry[] {
    const erasures = this.#log.erasures.filter((range) => range.stream === stream);
    const isErased = ({ lane, seq, offset }: StoredEntry): boolean =>
      erasures.some((range) => {
        const isMeant = offset < range.beforeOffset && (range.lane === undefined || range.lane === lane);
        return isMeant && seq >= range.fromSeq && seq <= range.toSeq;
      });
    return entries.map((entry) => (isErased(entry) ? { ...entry, key: "", payload: new Uint8Array(0) } : entry));
  }
}

function readLogPart(directory: string, shard: ShardId): LogPart {
  const part: LogPart = {
    term: 0 as Term,
    firstOffset: 0 as Offset,
    lastOffset: 0 as Offset,
    entries: [],
    erasures: [],
    cells: new Map(),
  };
  readLog(directory, {
    frame(frame) {
      eachRecord(frame, (record, operations) => {
        if (record.shard !== shard) return;
        const { offset, term } = record;
        // Copied here from another node once more (log/local/check-log.ts).
        if (offset <= part.lastOffset) return;
        if (part.firstOffset === 0) part.firstOffset = offset;
        part.lastOffset = offset;
        part.term = term;
        // Copied: the buffer is that of a whole log file.
        const bytes = (start: number, length: number): Buffer =>
          Buffer.from(frame.buffer.subarray(start, start + length));
        operations({
          entry: (stream, lane, key, seq, start, length) =>
            void part.entries.push({ stream, lane, key, seq, offset, payload: bytes(start, length) }),
          cell: (stream, key, start, length) =>
            setCell(part.cells, stream, key, start < 0 ? undefined : bytes(start, length)),
          key() {},
          erase: (stream, lane, fromSeq, toSeq) =>
            void part.erasures.push({ stream, lane, fromSeq, toSeq, beforeOffset: offset }),
        });
      });
    },
  });
  return part;
}

function setCell(cells: LogPart["cells"], stream: string, key: string, value: Uint8Array | undefined): void {
  let ofStream = cells.get(stream);
  if (ofStream === undefined) cells.set(stream, (ofStream = new Map()));
  ofStream.set(key, value);
}
