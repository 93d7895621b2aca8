/**
 * Numbers and names, written into bytes: the one writer of the store. What is written by it, `byte-reader.ts` reads.
 */
import { asBuffer } from "./byte-reader.ts";

export const VARINT_BYTES_MAX = 8;
const NAME_LENGTH_MAX = 0xff;
const ASCII_MAX = 0x7f;
const LATIN1_MAX = 0xff;
const LENGTH_BYTES = 4;
const LENGTH_END = 2 ** (7 * LENGTH_BYTES);
/** Memory that a growing writer keeps for what it writes next. */
const KEPT_BYTES_MAX = 1 << 20;

/** Node's Buffer has this native call, its types do not; it costs a third of `write`. */
type NativeBuffer = Buffer & { utf8Write(text: string, at: number): number };

/**
 * Writes where the caller has reserved room. Positions stay valid when it grows, byte addresses do not. A value that
 * its field cannot hold is refused and never wrapped: what follows it could not be read again.
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

  /**
   * 7 bits a byte, lowest first, the high bit says that more follow; at most 8 bytes.
   * @throws RangeError outside 0 to 2^53 - 1
   */
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
    this.putName(text, ASCII_MAX);
  }

  protected putName(text: string, codeMax: number): void {
    const { length } = text;
    if (length > NAME_LENGTH_MAX)
      throw new RangeError(`a name of ${length} characters, the most is ${NAME_LENGTH_MAX}`);
    const { bytes } = this;
    let pos = this.pos;
    let seen = 0;
    bytes[pos++] = length;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      seen |= code;
      bytes[pos++] = code;
    }
    if (seen > codeMax) throw new RangeError(`a name that is not ASCII: ${JSON.stringify(text)}`);
    this.pos = pos;
  }

  /**
   * UTF-8, without a length. Room for 3 bytes a UTF-16 unit must be reserved.
   * @throws RangeError where it does not fit
   */
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

/** Reserves its room by itself, for what is written away from the way of a message. */
export class GrowingWriter extends ByteWriter {
  constructor(bytes = 256) {
    super(Buffer.allocUnsafeSlow(bytes));
  }

  override varint(value: number): void {
    this.reserve(VARINT_BYTES_MAX);
    super.varint(value);
  }

  /** Small numbers of either sign: 0, -1, 1, -2 … @throws RangeError for a fraction, and beyond 52 bits */
  signed(value: number): void {
    if (!Number.isSafeInteger(value)) throw outside("signed varint", value);
    this.varint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  /**
   * Older versions let a name with a character beyond ASCII into a record, as one byte: it must still get into files.
   */
  override str8(text: string): void {
    this.reserve(1 + text.length);
    this.putName(text, LATIN1_MAX);
  }

  /** @throws RangeError where `from` has not got them */
  copy(from: Uint8Array, start: number, end: number): void {
    if (end > from.length) throw new RangeError(`bytes up to ${end} of ${from.length}`);
    this.reserve(end - start);
    this.pos += asBuffer(from).copy(this.bytes, this.pos, start, end);
  }

  /**
   * Begins bytes whose number stands before them, as a varint of always four bytes; below 256 MiB. Returns where they
   * begin, for `end`.
   */
  begin(): number {
    this.reserve(LENGTH_BYTES);
    this.pos += LENGTH_BYTES;
    return this.pos;
  }

  /** @throws RangeError for more bytes than their number can say */
  end(from: number): void {
    let rest = this.pos - from;
    if (rest >= LENGTH_END) throw new RangeError(`${rest} bytes in one piece, the most is ${LENGTH_END - 1}`);
    for (let at = from - LENGTH_BYTES; at < from; at++) {
      this.bytes[at] = (rest & 127) | (at < from - 1 ? 128 : 0);
      rest >>>= 7;
    }
  }

  /** What was written so far, valid until the next write after `reset`. */
  written(): Buffer {
    return this.bytes.subarray(0, this.pos);
  }

  reset(): void {
    this.pos = 0;
    if (this.bytes.length > KEPT_BYTES_MAX) this.bytes = Buffer.allocUnsafeSlow(KEPT_BYTES_MAX);
  }
}

const isWhole = (value: number): boolean => value >= 0 && Number.isSafeInteger(value);

export const outside = (field: string, value: number): RangeError => new RangeError(`${value} does not fit ${field}`);
