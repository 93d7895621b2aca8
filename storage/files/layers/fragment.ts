/**
 * A fragment: what one layer has of one stream. Where the stream stood, items that came since and are not placed, cells
 * that changed.
 *
 *     fragment  str8 name | bytes after this field, in 4 bytes | stream number | head seq | head offset | placed seq | placed through | pieces | piece… | cell…
 *     cell      str8 name | 0 for a cleared one, else length + 1 | bytes                                       by rising name
 *     str8      u8 length | ASCII
 *
 * Every number not marked u8 is a varint; pieces are drawn in piece.ts.
 *
 * Invariants: each field of a stream's reach only rises, so the reach that counts is the largest of all its fragments,
 * field by field (a flush that does not know one writes 0). Items at offsets up to `placed through` of any fragment of
 * the stream are placed, and count no more.
 */
import { ByteReader } from "../../encoding/byte-reader.ts";
import type { GrowingWriter } from "../../encoding/byte-writer.ts";
import { type Piece, readPiece } from "./piece.ts";

/** How far a stream goes. */
export type StreamReach = {
  name: string;
  /** Dense per shard, from 1. */
  streamNo: number;
  headSeq: number;
  /** Offset of the entry at `headSeq`. */
  headOffset: number;
  /** Entries up to here are in lanes. */
  placedSeq: number;
  /** Offset of the newest item that is; 0 when none ever was. */
  placedThrough: number;
};

/** Values by name, null for a cleared cell. */
export type Cells = Map<string, Uint8Array | null>;

/** A fragment as it lies in a page, in `bytes[from, end)`. Items and cells are decoded when they are read. */
export type Fragment = StreamReach & { pieces: Piece[]; bytes: Buffer; from: number; cellsAt: number; end: number };

export function writeFragment(out: GrowingWriter, reach: StreamReach, pieces: readonly Piece[], cells: Cells): void {
  out.str8(reach.name);
  const from = out.begin();
  out.varint(reach.streamNo);
  out.varint(reach.headSeq);
  out.varint(reach.headOffset);
  out.varint(reach.placedSeq);
  out.varint(reach.placedThrough);
  out.varint(pieces.length);
  for (const piece of pieces) out.copy(piece.bytes, piece.from, piece.end);
  writeCells(out, cells);
  out.end(from);
}

/** Name of the fragment at `at`, and where it ends. @throws RangeError where the bytes are none. */
export function readFragmentHeader(bytes: Buffer, at: number, bytesEnd: number): { name: string; end: number } {
  const reader = new ByteReader(bytes, at, bytesEnd);
  const name = reader.str8();
  const length = reader.varint();
  return { name, end: reader.skip(length) + length };
}

/** The fragment at `at`. @throws RangeError where the bytes are none. */
export function readFragment(bytes: Buffer, at: number, bytesEnd: number): Fragment {
  const reader = new ByteReader(bytes, at, bytesEnd);
  const name = reader.str8();
  const length = reader.varint();
  const end = reader.skip(length) + length;
  reader.pos = end - length;
  const [streamNo, headSeq, headOffset] = [reader.varint(), reader.varint(), reader.varint()];
  const [placedSeq, placedThrough] = [reader.varint(), reader.varint()];
  const pieces = Array.from({ length: Math.min(reader.varint(), length) }, () => {
    const piece = readPiece(bytes, reader.pos, end);
    reader.pos = piece.end;
    return piece;
  });
  const reach = { name, streamNo, headSeq, headOffset, placedSeq, placedThrough };
  return { ...reach, pieces, bytes, from: at, cellsAt: reader.pos, end };
}

/** The reach of a stream, of its fragments. There is at least one. */
export function reachOf(fragments: readonly Fragment[]): StreamReach {
  const reach = { ...emptyReach(fragments[0]!.name, fragments[0]!.streamNo) };
  for (const { headSeq, headOffset, placedSeq, placedThrough } of fragments) {
    reach.headSeq = Math.max(reach.headSeq, headSeq);
    reach.headOffset = Math.max(reach.headOffset, headOffset);
    reach.placedSeq = Math.max(reach.placedSeq, placedSeq);
    reach.placedThrough = Math.max(reach.placedThrough, placedThrough);
  }
  return reach;
}

export function emptyReach(name: string, streamNo: number): StreamReach {
  return { name, streamNo, headSeq: 0, headOffset: 0, placedSeq: 0, placedThrough: 0 };
}

/** Null for cleared ones. @throws RangeError where the bytes are no cells. */
export function* cellsOf({ bytes, cellsAt, end }: Fragment): Iterable<[name: string, value: Uint8Array | null]> {
  const reader = new ByteReader(bytes, cellsAt, end);
  while (reader.pos < end) yield [reader.str8(), readValue(reader)];
}

/** Lays the fragment's cells over those of older ones. @throws RangeError where the bytes are no cells. */
export function addCells(fragment: Fragment, cells: Cells): void {
  for (const [name, value] of cellsOf(fragment)) cells.set(name, value);
}

/** One cell: null when it was cleared here, undefined when this fragment says nothing of it. */
export function cellOf({ bytes, cellsAt, end }: Fragment, wanted: string): Uint8Array | null | undefined {
  const reader = new ByteReader(bytes, cellsAt, end);
  while (reader.pos < end) {
    const name = reader.str8();
    if (name === wanted) return readValue(reader);
    if (name > wanted) return undefined;
    const length = reader.varint();
    if (length > 0) reader.skip(length - 1);
  }
  return undefined;
}

function writeCells(out: GrowingWriter, cells: Cells): void {
  for (const name of [...cells.keys()].toSorted()) {
    const value = cells.get(name)!;
    out.str8(name);
    out.varint(value === null ? 0 : value.length + 1);
    if (value !== null) out.copy(value, 0, value.length);
  }
}

function readValue(reader: ByteReader): Uint8Array | null {
  const length = reader.varint();
  if (length === 0) return null;
  const at = reader.skip(length - 1);
  return reader.bytes.subarray(at, at + length - 1);
}
