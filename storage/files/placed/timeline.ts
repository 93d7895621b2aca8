/**
 * Which lane each entry of a stream is in, by seq: what lets a stream be read in its own order though its entries are
 * kept lane by lane.
 *
 *     page     first seq | lanes | lane number… | stretch…                   lanes by first appearance
 *     stretch  index of a lane × 2, for one entry | index × 2 + 1, number of entries - 2
 *
 * Every number is a varint: a byte an entry in a lively timeline, next to nothing in a group. Seqs are dense, so a page
 * needs none but its first.
 */
import { asBuffer, ByteReader } from "../../encoding/byte-reader.ts";
import { GrowingWriter } from "../../encoding/byte-writer.ts";

export type Stretch = { lane: number; count: number };
/** The lanes of the entries from seq `first` on. */
export type TimelinePage = { first: number; stretches: Stretch[] };

/** A page is closed once it has so many stretches: its row then still shares a page of the file with others. */
export const STRETCHES_MAX = 160;

/** Adds one entry at the end. */
export function appendLane(stretches: Stretch[], lane: number): void {
  const last = stretches.at(-1);
  if (last?.lane === lane) last.count++;
  else stretches.push({ lane, count: 1 });
}

export function writePage({ first, stretches }: TimelinePage): Uint8Array {
  const out = new GrowingWriter();
  out.varint(first);
  const index = new Map<number, number>();
  for (const { lane } of stretches) if (!index.has(lane)) index.set(lane, index.size);
  out.varint(index.size);
  for (const lane of index.keys()) out.varint(lane);
  for (const { lane, count } of stretches) {
    const at = index.get(lane)!;
    out.varint(count === 1 ? at * 2 : at * 2 + 1);
    if (count > 1) out.varint(count - 2);
  }
  return out.written();
}

/** @throws RangeError where the bytes are not a page. */
export function readPage(page: Uint8Array): TimelinePage {
  const reader = new ByteReader(asBuffer(page));
  const first = reader.varint();
  const lanes = Array.from({ length: reader.varint() }, () => reader.varint());
  const stretches: Stretch[] = [];
  while (reader.pos < reader.end) {
    const head = reader.varint();
    const lane = lanes[Math.floor(head / 2)];
    if (lane === undefined) throw new RangeError(`a stretch of lane ${head >> 1} of ${lanes.length}`);
    stretches.push({ lane, count: head % 2 === 0 ? 1 : reader.varint() + 2 });
  }
  return { first, stretches };
}
