/**
 * The recent items of a stream, of all its lanes, before they are placed lane by lane: what makes a flush one row a stream instead of one a lane, a key and
 * a page of its timeline. They are kept in chunks, like a tail; when there are many, all of them are placed at once (flush-transaction.ts).
 *
 *     chunk    lanes | (str8 lane)… | items | item…
 *     item     lane index + 1, or 0 for a key set alone | seq | offset | str8 key | length | bytes
 *     str8     u8 length | ASCII
 *
 * Every number not marked u8 is a varint. Items are in log order. `offset` is the difference to the item before (the first: to 0). `seq` of an entry is the
 * difference to the entry before (the first: to 0); of a key set alone it is the seq that it points to.
 */
import type { RecentRow } from "../state/state-file.ts";
import { CHUNKS_MAX } from "../state/state-file.ts";
import type { Unsigned } from "../state/state-writer.ts";
import type { Offset, Seq } from "../types.ts";
import { CHUNK_BYTES_MAX, CHUNKS_MERGED, ITEMS_PACKED_MIN, packChunk, unpackChunk } from "./chunk.ts";
import { type Item, runBytes } from "./run.ts";
import { VarReader, VarWriter } from "./varint.ts";

/** An entry of a lane; or, `alone`, a key set without one, with `seq` where it points to and its value as the bytes. */
export type LoggedItem = Item & { alone: boolean; lane: string };

/** With so many bytes a stream's recent items are placed, however few they are. */
const BYTES_MAX = 32 * 1024;

export type RecentSize = { items: number; bytes: number };

export function sizeOf(items: readonly LoggedItem[]): RecentSize {
  return { items: items.length, bytes: items.reduce((sum, item) => sum + runBytes(item), 0) };
}

export function isFull(recent: RecentSize, more: RecentSize, itemsMax: number): boolean {
  return recent.items + more.items > itemsMax || recent.bytes + more.bytes > BYTES_MAX;
}

/** @throws RangeError where the bytes are not a chunk. */
export function readRecent(row: RecentRow): LoggedItem[] {
  const bytes = unpackChunk(row);
  const reader = new VarReader(bytes);
  const lanes = Array.from({ length: reader.varint() }, () => reader.str8());
  const items: LoggedItem[] = [];
  let lastSeq = 0;
  let offset = 0;
  for (let left = reader.varint(); left > 0; left--) {
    const head = reader.varint();
    const alone = head === 0;
    const seq = reader.varint() + (alone ? 0 : lastSeq);
    if (!alone) lastSeq = seq;
    offset += reader.varint();
    const key = reader.str8();
    const length = reader.varint();
    const start = reader.skip(length);
    const lane = alone ? "" : lanes[head - 1];
    if (lane === undefined) throw new RangeError(`an item of lane ${head - 1} of ${lanes.length}`);
    items.push({ alone, lane, seq: seq as Seq, offset: offset as Offset, key, bytes, start, length });
  }
  if (reader.pos !== reader.end) throw new RangeError("the items end before their bytes do");
  return items;
}

/** A row with these items. `recent` is its number. */
export function recentRow(recent: number, items: readonly LoggedItem[], isPacked: boolean): Unsigned<RecentRow> {
  const out = new VarWriter(256 + items.reduce((sum, item) => sum + 16 + item.key.length + item.length, 0));
  const lanes = [...new Set(items.flatMap((item) => (item.alone ? [] : [item.lane])))];
  out.varint(lanes.length);
  for (const lane of lanes) out.str8(lane);
  out.varint(items.length);
  let lastSeq = 0;
  let lastOffset = 0;
  for (const { alone, lane, seq, offset, key, bytes, start, length } of items) {
    out.varint(alone ? 0 : lanes.indexOf(lane) + 1);
    out.varint(alone ? seq : seq - lastSeq);
    out.varint(offset - lastOffset);
    out.str8(key);
    out.varint(length);
    out.copy(bytes, start, start + length);
    lastOffset = offset;
    if (!alone) lastSeq = seq;
  }
  return { recent, ...packChunk(out.written(), isPacked) };
}

/** What a stream's row knows of its chunks: how many there are, and how many of the last are still small. */
export type RecentChunks = { chunks: number; open: number };
export type RecentChange = RecentChunks & { put: Unsigned<RecentRow>; drop: number[] };

/**
 * What to change so that the stream has `items` as well.
 * @param read gives the rows from a number on
 */
export function extendedRecent(
  streamNo: number,
  { chunks, open }: RecentChunks,
  items: readonly LoggedItem[],
  read: (from: number) => RecentRow[],
): RecentChange {
  const isMerged = open + 1 >= CHUNKS_MERGED || items.length >= ITEMS_PACKED_MIN;
  const rows = isMerged && open > 0 ? read(streamNo * CHUNKS_MAX + chunks - open) : [];
  const all = [...rows.flatMap(readRecent), ...items];
  const put = recentRow(streamNo * CHUNKS_MAX + chunks - rows.length, all, isMerged);
  return {
    put,
    drop: rows.slice(1).map((row) => row.recent),
    chunks: chunks - rows.length + 1,
    open: put.raw_bytes > CHUNK_BYTES_MAX ? 0 : isMerged ? 1 : open + 1,
  };
}
