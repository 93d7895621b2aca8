/**
 * A piece: up to 64 items of one stream, in log order, of all its lanes. What comes with a flush is laid behind what is
 * there piece by piece, without being decoded, and reading the newest items decodes few.
 *
 *     piece     bytes after this field, in 4 bytes | items | weight | first seq | last seq | last offset | lanes | (str8 lane)…
 *               | lane index + 1, or 0 for a key set alone… | seq… | offset step… | keys (encoding/run.ts) | length… | bytes…
 *     str8      u8 length | ASCII
 *
 * Every number not marked u8 is a varint. `seq` of an entry is the step from the entry before (the first: from 0),
 * which is 1 but for the first; of a key set alone it is the seq that it points to. First and last seq are those of
 * entries, 0 when there is none. `weight` is what the items take when they are placed, about.
 */
import { type Item, readKeys, readSteps, runBytes, tombstone, writeKeys, writeSteps } from "../../encoding/run.ts";
import { ByteReader } from "../../encoding/byte-reader.ts";
import { GrowingWriter } from "../../encoding/byte-writer.ts";
import type { Offset, Seq } from "../../types.ts";

/** An entry of a lane; or, `alone`, a key set without one, with `seq` where it points to and its value as the bytes. */
export type LoggedItem = Item & { alone: boolean; lane: string };

/** How many items, and what they take in blocks, about. */
export type ItemSize = { items: number; bytes: number };

/** A piece as it lies in `bytes[from, end)`; `at` is where its lanes begin. */
export type Piece = {
  size: ItemSize;
  firstSeq: number;
  lastSeq: number;
  lastOffset: number;
  bytes: Buffer;
  from: number;
  at: number;
  end: number;
};

const ITEMS_MAX = 64;
/** Neighbours that have fewer together become one. */
const ITEMS_MIN = 32;

export function sizeOf(items: readonly LoggedItem[]): ItemSize {
  return { items: items.length, bytes: items.reduce((sum, item) => sum + runBytes(item), 0) };
}

/** @throws RangeError where the bytes are no piece. */
export function readPiece(bytes: Buffer, from: number, bytesEnd: number): Piece {
  const reader = new ByteReader(bytes, from, bytesEnd);
  const length = reader.varint();
  const end = reader.skip(length) + length;
  reader.pos = end - length;
  const size = { items: reader.varint(), bytes: reader.varint() };
  const [firstSeq, lastSeq, lastOffset] = [reader.varint(), reader.varint(), reader.varint()];
  if (reader.pos > end || size.items > length) throw new RangeError(`${size.items} items in ${length} bytes`);
  return { size, firstSeq, lastSeq, lastOffset, bytes, from, at: reader.pos, end };
}

/** @throws RangeError where the bytes are no items. */
export function itemsOf({ size, bytes, at, end }: Piece): LoggedItem[] {
  const count = size.items;
  const reader = new ByteReader(bytes, at, end);
  const lanes = Array.from({ length: reader.varint() }, () => reader.str8());
  const laneOf = Array.from({ length: count }, () => reader.varint());
  let last = 0;
  const seqs = laneOf.map((lane) => (lane === 0 ? reader.varint() : (last += reader.varint())));
  const offsets = readSteps(reader, count);
  const keys = readKeys(reader, count);
  const lengths = Array.from({ length: count }, () => reader.varint());
  const items = lengths.map((length, i): LoggedItem => {
    const alone = laneOf[i] === 0;
    const lane = alone ? "" : lanes[laneOf[i]! - 1];
    if (lane === undefined) throw new RangeError(`an item of lane ${laneOf[i]} of ${lanes.length}`);
    const [seq, offset, key] = [seqs[i] as Seq, offsets[i] as Offset, keys[i]!];
    return { alone, lane, seq, offset, key, bytes, start: reader.skip(length), length };
  });
  if (reader.pos !== end) throw new RangeError("the items of a piece end before its bytes do");
  return items;
}

/** Items as pieces, in their order. */
export function piecesOf(items: readonly LoggedItem[]): Piece[] {
  const out = new GrowingWriter(64 + items.reduce((sum, item) => sum + 24 + item.key.length + item.length, 0));
  const ends = Array.from({ length: Math.ceil(items.length / ITEMS_MAX) }, (_, at) => {
    writePiece(out, items.slice(at * ITEMS_MAX, (at + 1) * ITEMS_MAX));
    return out.pos;
  });
  const bytes = out.written();
  return ends.map((end, at) => readPiece(bytes, ends[at - 1] ?? 0, end));
}

/** The same items in fewer pieces, where neighbours are small. */
export function joined(pieces: readonly Piece[]): Piece[] {
  const left: Piece[] = [];
  for (const piece of pieces) {
    const before = left.at(-1);
    const isSmall = before !== undefined && before.size.items + piece.size.items < ITEMS_MIN;
    if (isSmall) left[left.length - 1] = piecesOf([...itemsOf(before), ...itemsOf(piece)])[0]!;
    else left.push(piece);
  }
  return left;
}

/** The items with tombstones for entries that `isErased` says are gone; the same array where none is. */
export function withTombstones(items: LoggedItem[], isErased: (item: LoggedItem) => boolean): LoggedItem[] {
  const isGone = (item: LoggedItem): boolean => !item.alone && isErased(item);
  if (!items.some(isGone)) return items;
  return items.map((item) => (isGone(item) ? { ...item, ...tombstone(item) } : item));
}

function writePiece(out: GrowingWriter, items: readonly LoggedItem[]): void {
  const size = sizeOf(items);
  const entries = items.filter(({ alone }) => !alone);
  const from = out.begin();
  out.varint(size.items);
  out.varint(size.bytes);
  out.varint(entries[0]?.seq ?? 0);
  out.varint(entries.at(-1)?.seq ?? 0);
  out.varint(items.at(-1)!.offset);
  writeLanes(out, items);
  writeSteps(out, items, (item) => item.offset);
  writeKeys(out, items);
  for (const { length } of items) out.varint(length);
  for (const { bytes, start, length } of items) out.copy(bytes, start, start + length);
  out.end(from);
}

function writeLanes(out: GrowingWriter, items: readonly LoggedItem[]): void {
  const lanes = new Map<string, number>();
  for (const { alone, lane } of items) if (!alone && !lanes.has(lane)) lanes.set(lane, lanes.size + 1);
  out.varint(lanes.size);
  for (const lane of lanes.keys()) out.str8(lane);
  for (const { alone, lane } of items) out.varint(alone ? 0 : lanes.get(lane)!);
  let last = 0;
  for (const { alone, seq } of items) {
    out.varint(alone ? seq : seq - last);
    if (!alone) last = seq;
  }
}
