/**
 * The encoding of records: what a shard's log is made of, in the write-ahead log and in the image handed to a flush.
 *
 *     record   u32 bytes after this field | u16 shard | u32 term | u48 offset | operation…
 *     entry    u8 1 | str8 stream | str8 lane | str8 key | u48 seq | u32 length | payload
 *     cell     u8 2 | str8 stream | str8 key | u32 length, 0xffffffff = cleared | value
 *     key      u8 3 | str8 stream | str8 key | u48 seq | u32 length | value
 *     erase    u8 4 | str8 stream | u8 has lane | str8 lane | u48 from seq | u48 to seq
 *     str8     u8 length | ASCII
 *
 * All integers little-endian. Invariants: offsets of a shard are dense in log order; terms of a shard never fall in the log of an owner.
 */
import { CLEARED, OP_CELL, OP_ENTRY, OP_ERASE, OP_KEY, Operation, u32At, u48At } from "./operation.ts";
import type { Offset, Seq, ShardId, Term } from "../types.ts";

export const RECORD_HEADER_BYTES = 16;
const VARINT_BYTES_MAX = 8;

/** Of one record: a frame of the log, a piece of a layer and a flush's image hold many of these. */
export const RECORD_BYTES_MAX = 32 << 20;
const LENGTH_MAX = 0xff;
const ASCII_MAX = 0x7f;

/** Node's Buffer has this native call, its types do not; it costs a third of `write`. */
type NativeBuffer = Buffer & { utf8Write(text: string, at: number): number };

/**
 * Grows; positions stay valid while it does, byte addresses do not. A value that its field cannot hold is refused and never wrapped: what stands
 * behind it could not be read again.
 */
export class ByteWriter {
  bytes: Buffer;
  pos: number;

  constructor(bytes: Buffer, pos = 0) {
    this.bytes = bytes;
    this.pos = pos;
  }

  /** Room for `more` bytes at `pos`, moving to a larger buffer when there is none. */
  reserve(more: number): void {
    if (this.pos + more <= this.bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.pos + more));
    this.bytes.copy(larger, 0, 0, this.pos);
    this.bytes = larger;
  }

  /** @throws RangeError outside 0 to 2^8 - 1 */
  u8(value: number): void {
    if ((value & 0xff) !== value) throw outside("u8", value);
    this.bytes[this.pos++] = value;
  }

  /** @throws RangeError outside 0 to 2^16 - 1 */
  u16(value: number): void {
    if ((value & 0xffff) !== value) throw outside("u16", value);
    const { bytes, pos } = this;
    bytes[pos] = value;
    bytes[pos + 1] = value >>> 8;
    this.pos = pos + 2;
  }

  u32(value: number): void {
    this.u32At(this.pos, value);
    this.pos += 4;
  }

  /** @throws RangeError outside 0 to 2^32 - 1 */
  u32At(pos: number, value: number): void {
    if (value >>> 0 !== value) throw outside("u32", value);
    const { bytes } = this;
    bytes[pos] = value;
    bytes[pos + 1] = value >>> 8;
    bytes[pos + 2] = value >>> 16;
    bytes[pos + 3] = value >>> 24;
  }

  /** @throws RangeError outside 0 to 2^48 - 1 */
  u48(value: number): void {
    const low = value >>> 0;
    const high = Math.floor(value / 0x1_0000_0000);
    if ((high & 0xffff) !== high || high * 0x1_0000_0000 + low !== value) throw outside("u48", value);
    const { bytes, pos } = this;
    bytes[pos] = low;
    bytes[pos + 1] = low >>> 8;
    bytes[pos + 2] = low >>> 16;
    bytes[pos + 3] = low >>> 24;
    bytes[pos + 4] = high;
    bytes[pos + 5] = high >>> 8;
    this.pos = pos + 6;
  }

  /** 7 bits a byte, lowest first, the high bit says that more follow; at most 8 bytes. @throws RangeError outside 0 to 2^53 - 1 */
  varint(value: number): void {
    if ((value & 127) === value) {
      this.bytes[this.pos++] = value;
      return;
    }
    if (!isWhole(value)) throw outside("varint", value);
    const { bytes } = this;
    let { pos } = this;
    let rest = value;
    for (; rest > 0x7fff_ffff; rest = Math.floor(rest / 128)) bytes[pos++] = (rest & 127) | 128;
    for (; rest > 127; rest >>>= 7) bytes[pos++] = (rest & 127) | 128;
    bytes[pos] = rest;
    this.pos = pos + 1;
  }

  /** ASCII of at most 255 characters. @throws RangeError for anything else */
  str8(text: string): void {
    const { length } = text;
    if (length > LENGTH_MAX) throw new RangeError(`a name of ${length} characters, the most is ${LENGTH_MAX}`);
    const { bytes } = this;
    let pos = this.pos;
    let seen = 0;
    bytes[pos++] = length;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      seen |= code;
      bytes[pos++] = code;
    }
    if (seen > ASCII_MAX) throw new RangeError(`a name that is not ASCII: ${JSON.stringify(text)}`);
    this.pos = pos;
  }

  /** UTF-8, without a length. Room for 3 bytes a UTF-16 unit must be reserved. @throws RangeError where it does not fit */
  utf8(text: string): void {
    if (this.pos + text.length * 3 > this.bytes.length && this.pos + Buffer.byteLength(text) > this.bytes.length)
      throw new RangeError(`a text of ${text.length} characters without room for it`);
    this.pos += (this.bytes as NativeBuffer).utf8Write(text, this.pos);
  }

  raw(value: Uint8Array): void {
    this.bytes.set(value, this.pos);
    this.pos += value.length;
  }
}

const isWhole = (value: number): boolean => value >= 0 && Number.isSafeInteger(value);

const outside = (field: string, value: number): RangeError => new RangeError(`${value} does not fit ${field}`);

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
 * Writes the head of an entry and reserves `payloadBytesMax` for its payload, which the caller writes next; `endEntry` takes the returned
 * position. Nothing is copied: the payload is encoded where it will be written from.
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

export function writeCell(out: ByteWriter, stream: string, key: string, value: Uint8Array | null): void {
  out.reserve(7 + stream.length + key.length + (value?.length ?? 0));
  out.u8(OP_CELL);
  out.str8(stream);
  out.str8(key);
  if (value === null) return out.u32(CLEARED);
  if (value.length >= CLEARED) throw outside("u32", value.length);
  out.u32(value.length);
  out.raw(value);
}

/** A cell of one or two varints. */
export function writeNumbersCell(
  out: ByteWriter,
  stream: string,
  key: string,
  first: number,
  second: number | undefined,
): void {
  out.reserve(7 + stream.length + key.length + 2 * VARINT_BYTES_MAX);
  out.u8(OP_CELL);
  out.str8(stream);
  out.str8(key);
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

/** Entries `fromSeq` to `toSeq` of the stream, of one lane or (undefined) of all, become tombstones: no key, no payload. */
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
  cell(stream: string, key: string, start: number, length: number): void;
  key(stream: string, key: string, seq: Seq, start: number, length: number): void;
  /** `lane` is undefined for all lanes. */
  erase(stream: string, lane: string | undefined, fromSeq: Seq, toSeq: Seq): void;
};

export type RecordHead = { shard: ShardId; term: Term; offset: Offset; opsAt: number; end: number };

export function readRecordHead(bytes: Buffer, at: number): RecordHead {
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
 * @throws RangeError where the bytes are not operations; a checksum has been checked before, so that is a bug or a newer format.
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
