/**
 * The tail of a lane: its newest entries that were placed, fewer than fill a run of their own, in the shard's state
 * until there are enough.
 *
 * So entries of a quiet conversation do not lie one by one in the segments of all flushes since: a page of them is a
 * tail and a run or two.
 */
import { CHUNKS_MAX, type TailRow } from "./state-file.ts";
import type { Unsigned } from "./state-writer.ts";
import { CHUNK_BYTES_MAX, CHUNKS_MERGED, ITEMS_PACKED_MIN, packChunk } from "./chunk.ts";
import { unpackedRow } from "../../encoding/packing.ts";
import { type Item, readRun, type Run, runBytes, writeRun } from "../../encoding/run.ts";
import { GrowingWriter } from "../../encoding/byte-writer.ts";

/** @throws RangeError where the bytes are not a run. */
export function readChunk(row: TailRow): Run {
  const raw = unpackedRow(row);
  return readRun(raw, 0, raw.length);
}

export function chunkRow(tail: number, name: string, items: Item[], isPacked: boolean): Unsigned<TailRow> {
  const out = new GrowingWriter(64 + items.reduce((sum, item) => sum + runBytes(item), 0));
  writeRun(out, name, items);
  const [first_seq, last_seq] = [items[0]!.seq, items.at(-1)!.seq];
  return { tail, first_seq, last_seq, entries: items.length, ...packChunk(out.written(), isPacked) };
}

export function entriesInTail(chunks: readonly TailRow[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.entries, 0);
}

export type TailChange = { put: Unsigned<TailRow>; drop: number[] };

/** What to change so that the tail has `items` as well. */
export function extendedTail(lane: number, name: string, chunks: readonly TailRow[], items: Item[]): TailChange {
  const open = chunks.slice(chunks.findLastIndex((chunk) => chunk.raw_bytes > CHUNK_BYTES_MAX) + 1);
  const isMerged = open.length + 1 >= CHUNKS_MERGED || items.length >= ITEMS_PACKED_MIN;
  const rows = isMerged ? open : [];
  const all = [...rows.flatMap((chunk) => readChunk(chunk).items), ...items];
  const tail = lane * CHUNKS_MAX + chunks.length - rows.length;
  return { put: chunkRow(tail, name, all, isMerged), drop: rows.slice(1).map((chunk) => chunk.tail) };
}
