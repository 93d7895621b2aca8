/** Numbers of 7 bits a byte, lowest first, the high bit says that more follow; and short strings. What blocks, tails and pages of the state are made of. */

const VARINT_BYTES_MAX = 8;
const LENGTH_BYTES = 4;
const LENGTH_END = 2 ** (7 * LENGTH_BYTES);
/** Memory that a writer keeps for what it writes next. */
const KEPT_BYTES_MAX = 1 << 20;

/** A growing buffer. A value that its field cannot hold is refused and never wrapped. */
export class VarWriter {
  bytes: Buffer;
  pos = 0;

  constructor(bytes = 256) {
    this.bytes = Buffer.allocUnsafeSlow(bytes);
  }

  reserve(more: number): void {
    if (this.pos + more <= this.bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.pos + more));
    this.bytes.copy(larger, 0, 0, this.pos);
    this.bytes = larger;
  }

  /** @throws RangeError outside 0 to 2^53 - 1 */
  varint(value: number): void {
    if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER && Math.floor(value) === value))
      throw new RangeError(`${value} does not fit a varint`);
    this.reserve(VARINT_BYTES_MAX);
    let rest = value;
    while (rest >= 128) {
      this.bytes[this.pos++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.bytes[this.pos++] = rest;
  }

  /** Small numbers of either sign: 0, -1, 1, -2 … @throws RangeError for a fraction, and beyond 52 bits */
  signed(value: number): void {
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} does not fit a signed varint`);
    this.varint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  /** At most 255 characters of one byte. @throws RangeError for anything else */
  str8(text: string): void {
    if (text.length > 255) throw new RangeError(`a name of ${text.length} characters, the most is 255`);
    for (let i = 0; i < text.length; i++)
      if (text.charCodeAt(i) > 255)
        throw new RangeError(`a name with a character of two bytes: ${JSON.stringify(text)}`);
    this.reserve(1 + text.length);
    this.bytes[this.pos++] = text.length;
    this.pos += this.bytes.write(text, this.pos, "latin1");
  }

  /** @throws RangeError where `from` has not got them */
  copy(from: Uint8Array, start: number, end: number): void {
    if (end > from.length) throw new RangeError(`bytes up to ${end} of ${from.length}`);
    this.reserve(end - start);
    this.pos += asBuffer(from).copy(this.bytes, this.pos, start, end);
  }

  /** Begins bytes whose number stands before them, as a varint of always four bytes; below 256 MiB. Returns where they begin, for `end`. */
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

/** The same bytes; SQLite's driver promises no more than a Uint8Array and gives Buffers. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** @throws RangeError where the bytes end inside of a value. */
export class VarReader {
  readonly bytes: Buffer;
  readonly end: number;
  pos: number;

  constructor(bytes: Buffer, pos = 0, end = bytes.length) {
    this.bytes = bytes;
    this.pos = pos;
    this.end = end;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      if (this.pos >= this.end) throw new RangeError("the bytes end inside of a number");
      const byte = this.bytes[this.pos++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  }

  signed(): number {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  str8(): string {
    if (this.pos >= this.end) throw new RangeError("the bytes end before a string");
    const from = this.pos + 1;
    this.skip(1 + this.bytes[this.pos]!);
    return this.bytes.toString("latin1", from, this.pos);
  }

  /** Returns where the skipped bytes begin. */
  skip(bytes: number): number {
    const from = this.pos;
    this.pos = from + bytes;
    if (this.pos > this.end) throw new RangeError("the bytes end too early");
    return from;
  }
}
