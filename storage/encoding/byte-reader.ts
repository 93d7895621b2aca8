/**
 * Numbers and names, read from bytes.
 *
 *     u32, u48   little-endian
 *     varint     7 bits a byte, lowest first; the high bit says that more follow
 *     str8       u8 length | ASCII
 */

/** Node's Buffer has this native call, its types do not; it costs a third of `toString`. */
type NativeBuffer = Buffer & { latin1Slice(from: number, to: number): string };

export const u32At = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;

export const u48At = (bytes: Uint8Array, at: number): number =>
  u32At(bytes, at) + (bytes[at + 4]! | (bytes[at + 5]! << 8)) * 0x1_0000_0000;

/** The text whose length byte is at `at`. */
export function str8At(bytes: Buffer, at: number): string {
  return (bytes as NativeBuffer).latin1Slice(at + 1, at + 1 + bytes[at]!);
}

/** Whether that text is `text`. */
export function isStr8(bytes: Uint8Array, at: number, text: string): boolean {
  return bytes[at] === text.length && isLatin1(bytes, at + 1, text);
}

export function isLatin1(bytes: Uint8Array, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}

/** The same bytes; SQLite's driver promises no more than a Uint8Array and gives Buffers. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** @throws RangeError where the bytes end inside of a value. */
export class ByteReader {
  readonly bytes: Buffer;
  readonly end: number;
  pos: number;

  constructor(bytes: Buffer, pos = 0, end = bytes.length) {
    this.bytes = bytes;
    this.pos = pos;
    this.end = end;
  }

  varint(): number {
    const { bytes, end } = this;
    let { pos } = this;
    let value = 0;
    let scale = 1;
    while (pos < end) {
      const byte = bytes[pos++]!;
      value += (byte & 127) * scale;
      if (byte < 128) {
        this.pos = pos;
        return value;
      }
      scale *= 128;
    }
    throw new RangeError("the bytes end inside of a number");
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
