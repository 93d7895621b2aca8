/**
 * The encoding of records: what a shard's log is made of, in the write-ahead log and in the image handed to a flush.
 *
 *     record   u32 bytes after this field | u16 shard | u32 term | u48 offset | operation…
 *     entry    u8 1 | str8 stream | str8 lane | str8 key | u48 seq | u32 length | payload
 *     cell     u8 2 | str8 stream | str8 name | u32 length, 0xffffffff = cleared | value
 *     key      u8 3 | str8 stream | str8 key | u48 seq | u32 length | value
 *     erase    u8 4 | str8 stream | u8 has lane | str8 lane | u48 from seq | u48 to seq
 *     str8     u8 length | ASCII
 *
 * All integers little-endian. Invariants: offsets of a shard are dense in log order; terms of a shard never fall in the
 * log of an owner.
 */
import { u32At, u48At } from "./byte-reader.ts";
import { type ByteWriter, outside, VARINT_BYTES_MAX } from "./byte-writer.ts";
import { CLEARED, OP_CELL, OP_ENTRY, OP_ERASE, OP_KEY, Operation } from "./operation.ts";
import type { Offset, Seq, ShardId, Term } from "../types.ts";

export const RECORD_HEADER_BYTES = 16;

/** Of one record: a frame of the log, a piece of a layer and a flush's image hold many of these. */
export const RECORD_BYTES_MAX = 32 << 20;
/** Begins a record; returns its position for `endRecord`. */
export function beginRecord(out: ByteWriter, shard: ShardId, term: Term, offset: Offset): number {
  out.reserve(RECORD_HEADER_BYTES);
  const at = out.pos;
  out.pos += 4;
  out.u16(shard);
  out.u32(term);
  out.u48(offset);
  return at;
}

/** @throws RangeError for a record that is too large to be read again */
export function endRecord(out: ByteWriter, at: number): void {
  const bytes = out.pos - at;
  if (bytes > RECORD_BYTES_MAX) throw new RangeError(`a record of ${bytes} bytes, the most is ${RECORD_BYTES_MAX}`);
  out.u32At(at, bytes - 4);
}

/**
 * Writes the header of an entry and reserves `payloadBytesMax` for its payload, which the caller writes next;
 * `endEntry` takes the returned position. Nothing is copied: the payload is encoded where it will be written from.
 */
export function beginEntry(
  out: ByteWriter,
  stream: string,
  lane: string,
  key: string,
  seq: Seq,
  payloadBytesMax: number,
): number {
  out.reserve(14 + stream.length + lane.length + key.length + payloadBytesMax);
  out.u8(OP_ENTRY);
  out.str8(stream);
  out.str8(lane);
  out.str8(key);
  out.u48(seq);
  out.pos += 4;
  return out.pos;
}

/** `payloadAt` is what `beginEntry` returned. */
export function endEntry(out: ByteWriter, payloadAt: number): void {
  out.u32At(payloadAt - 4, out.pos - payloadAt);
}

export function writeCell(out: ByteWriter, stream: string, name: string, value: Uint8Array | null): void {
  out.reserve(7 + stream.length + name.length + (value?.length ?? 0));
  out.u8(OP_CELL);
  out.str8(stream);
  out.str8(name);
  if (value === null) return out.u32(CLEARED);
  if (value.length >= CLEARED) throw outside("u32", value.length);
  out.u32(value.length);
  out.raw(value);
}

/** A cell of one or two varints. */
export function writeNumbersCell(
  out: ByteWriter,
  stream: string,
  name: string,
  first: number,
  second: number | undefined,
): void {
  out.reserve(7 + stream.length + name.length + 2 * VARINT_BYTES_MAX);
  out.u8(OP_CELL);
  out.str8(stream);
  out.str8(name);
  const at = out.pos;
  out.pos = at + 4;
  out.varint(first);
  if (second !== undefined) out.varint(second);
  out.u32At(at, out.pos - at - 4);
}

export function writeKey(out: ByteWriter, stream: string, key: string, seq: Seq, value: Uint8Array): void {
  out.reserve(13 + stream.length + key.length + value.length);
  out.u8(OP_KEY);
  out.str8(stream);
  out.str8(key);
  out.u48(seq);
  out.u32(value.length);
  out.raw(value);
}

/**
 * Entries `fromSeq` to `toSeq` of the stream, of one lane or (undefined) of all, become tombstones: no key, no payload.
 */
export function writeErase(out: ByteWriter, stream: string, lane: string | undefined, fromSeq: Seq, toSeq: Seq): void {
  out.reserve(16 + stream.length + (lane?.length ?? 0));
  out.u8(OP_ERASE);
  out.str8(stream);
  out.u8(lane === undefined ? 0 : 1);
  out.str8(lane ?? "");
  out.u48(fromSeq);
  out.u48(toSeq);
}

/** Receives what `decodeOperations` finds. Positions point into the buffer that was decoded: nothing is copied. */
export type OperationVisitor = {
  entry(stream: string, lane: string, key: string, seq: Seq, start: number, length: number): void;
  /** `start` is -1 for a cleared cell. */
  cell(stream: string, name: string, start: number, length: number): void;
  key(stream: string, key: string, seq: Seq, start: number, length: number): void;
  /** `lane` is undefined for all lanes. */
  erase(stream: string, lane: string | undefined, fromSeq: Seq, toSeq: Seq): void;
};

export type RecordHeader = { shard: ShardId; term: Term; offset: Offset; opsAt: number; end: number };

export function readRecordHeader(bytes: Buffer, at: number): RecordHeader {
  return {
    shard: recordShard(bytes, at),
    term: recordTerm(bytes, at),
    offset: recordOffset(bytes, at),
    opsAt: at + RECORD_HEADER_BYTES,
    end: recordEnd(bytes, at),
  };
}

// The same one by one, for readers of millions: no object for each.

export const recordEnd = (bytes: Uint8Array, at: number): number => at + 4 + u32At(bytes, at);

export const recordShard = (bytes: Uint8Array, at: number): ShardId =>
  (bytes[at + 4]! | (bytes[at + 5]! << 8)) as ShardId;

export const recordTerm = (bytes: Uint8Array, at: number): Term => u32At(bytes, at + 6) as Term;

export const recordOffset = (bytes: Uint8Array, at: number): Offset => u48At(bytes, at + 10) as Offset;

/**
 * Walks the operations in `bytes[from, to)`.
 * @throws RangeError where the bytes are not operations; a checksum has been checked before, so that is a bug or a
 * newer format.
 */
export function decodeOperations(bytes: Buffer, from: number, to: number, visit: OperationVisitor): void {
  const found = new Operation();
  let at = from;
  while (at < to) {
    const end = found.read(bytes, at);
    const { kind, seq, start, length } = found;
    if (kind === OP_ENTRY) visit.entry(found.stream(), found.lane(), found.key(), seq, start, length);
    else if (kind === OP_CELL) visit.cell(found.stream(), found.key(), start, length);
    else if (kind === OP_KEY) visit.key(found.stream(), found.key(), seq, start, length);
    else visit.erase(found.stream(), found.laneOrAll(), found.fromSeq, found.toSeq);
    at = end;
  }
  if (at !== to) throw new RangeError(`operations end at byte ${at}, the record at ${to}`);
}
