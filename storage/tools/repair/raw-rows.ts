/**
 * Rows of a SQLite file, page by page, even where its trees are damaged: a page that still is what it was gives its
 * rows, though SQLite would not find it any more. Nothing is believed of what is found here; each row of ours has a
 * checksum.
 *
 *     file      page…; the header of the first says how large they are, and where the list of free pages begins
 *     page      u8 kind | u16 | u16 cells | u16 | u8 | (u32)… | u16 place of a cell…    kind: 2, 5 inner and 10, 13 leaves
 *     cell      (u32 page)… | (varint bytes | (varint row number)… | record | u32 page where the record goes on)
 *     record    varint bytes of the header | varint kind of a value… | value…
 *
 * Big-endian; a varint has 7 bits a byte, the highest first. Pages on the list of free pages are left out: what they
 * have was deleted.
 */
import { asBuffer } from "../../encoding/byte-reader.ts";
import type { SqlValue } from "../../files/sqlite/database.ts";

/** `rowid` is undefined in a tree that goes by its columns. */
export type RawRow = { values: SqlValue[]; rowid: number | undefined; page: number };

const FILE_HEADER_BYTES = 100;
const FREE_LIST_AT = 32;
const RESERVED_AT = 20;
const INNER_INDEX = 2;
const LEAF_INDEX = 10;
const LEAF_TABLE = 13;
const VALUES_MAX = 32;

/** @param pageBytes of the format: the file's header may be damaged */
export function* rawRows(image: Buffer, pageBytes: number): Iterable<RawRow> {
  const pages = new Pages(image, pageBytes);
  const free = pages.free();
  for (let page = 1; page <= pages.count; page++) {
    if (free.has(page)) continue;
    for (const row of pages.rows(page)) yield row;
  }
}

class Pages {
  readonly count: number;
  readonly #image: Buffer;
  readonly #pageBytes: number;
  /** Of each page that hold something. */
  readonly #usedBytes: number;

  constructor(image: Buffer, pageBytes: number) {
    this.#image = image;
    this.#pageBytes = pageBytes;
    this.count = Math.floor(image.length / pageBytes);
    const reserved = image.length > RESERVED_AT ? image[RESERVED_AT]! : 0;
    this.#usedBytes = pageBytes - (reserved <= 64 ? reserved : 0);
  }

  /** Pages that the header lists as free, as far as the list can be followed. */
  free(): Set<number> {
    const free = new Set<number>();
    const image = this.#image;
    let trunk = image.length >= FILE_HEADER_BYTES ? image.readUInt32BE(FREE_LIST_AT) : 0;
    while (trunk > 0 && trunk <= this.count && !free.has(trunk)) {
      free.add(trunk);
      const at = (trunk - 1) * this.#pageBytes;
      const leaves = Math.min(image.readUInt32BE(at + 4), this.#usedBytes / 4 - 2);
      for (let n = 0; n < leaves; n++) free.add(image.readUInt32BE(at + 8 + 4 * n));
      trunk = image.readUInt32BE(at);
    }
    return free;
  }

  *rows(page: number): Iterable<RawRow> {
    const start = (page - 1) * this.#pageBytes;
    const header = page === 1 ? start + FILE_HEADER_BYTES : start;
    const kind = this.#image[header];
    if (kind !== INNER_INDEX && kind !== LEAF_INDEX && kind !== LEAF_TABLE) return;
    const cellsAt = header + (kind === INNER_INDEX ? 12 : 8);
    const cells = this.#image.readUInt16BE(header + 3);
    for (let n = 0; n < cells && cellsAt + 2 * n + 2 <= start + this.#pageBytes; n++) {
      const row = this.#row(page, kind, start + this.#image.readUInt16BE(cellsAt + 2 * n));
      if (row !== undefined) yield row;
    }
  }

  /** Undefined where no row stands. */
  #row(page: number, kind: number, cellAt: number): RawRow | undefined {
    try {
      const reader = new BigEndianReader(this.#image, kind === INNER_INDEX ? cellAt + 4 : cellAt);
      const bytes = reader.varint();
      const rowid = kind === LEAF_TABLE ? reader.varint() : undefined;
      const record = this.#record(reader.pos, bytes, kind === LEAF_TABLE);
      return { values: valuesOf(record), rowid, page };
    } catch (error) {
      if (error instanceof RangeError) return undefined;
      throw error;
    }
  }

  /** @throws RangeError where it does not go on as it must */
  #record(at: number, bytes: number, isTable: boolean): Buffer {
    const here = this.#bytesHere(bytes, isTable);
    if (at + here > this.#image.length || bytes > this.#image.length) throw new RangeError("a record ends elsewhere");
    if (here === bytes) return this.#image.subarray(at, at + here);
    const parts = [this.#image.subarray(at, at + here)];
    let page = this.#image.readUInt32BE(at + here);
    for (let left = bytes - here; left > 0;) {
      if (page < 1 || page > this.count) throw new RangeError(`a record goes on in page ${page}`);
      const from = (page - 1) * this.#pageBytes;
      const part = this.#image.subarray(from + 4, from + 4 + Math.min(left, this.#usedBytes - 4));
      parts.push(part);
      left -= part.length;
      page = this.#image.readUInt32BE(from);
    }
    return Buffer.concat(parts);
  }

  /** How much of a record stands in its cell: SQLite's own rule. */
  #bytesHere(bytes: number, isTable: boolean): number {
    const used = this.#usedBytes;
    const most = isTable ? used - 35 : Math.floor(((used - 12) * 64) / 255) - 23;
    if (bytes <= most) return bytes;
    const least = Math.floor(((used - 12) * 32) / 255) - 23;
    const rest = least + ((bytes - least) % (used - 4));
    return rest <= most ? rest : least;
  }
}

/** @throws RangeError where the bytes are no record */
function valuesOf(record: Buffer): SqlValue[] {
  const kinds = new BigEndianReader(record, 0);
  const headerBytes = kinds.varint();
  let at = headerBytes;
  const values: SqlValue[] = [];
  while (kinds.pos < headerBytes) {
    if (values.length === VALUES_MAX) throw new RangeError("no row of ours has so many values");
    const kind = kinds.varint();
    const bytes = kind >= 12 ? (kind - 12) >> 1 : NUMBER_BYTES[kind];
    if (bytes === undefined || at + bytes > record.length) throw new RangeError("a value ends behind its record");
    values.push(valueOf(record, at, kind, bytes));
    at += bytes;
  }
  if (at !== record.length) throw new RangeError("a record is longer than its values");
  return values;
}

const NUMBER_BYTES: readonly (number | undefined)[] = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0];

function valueOf(record: Buffer, at: number, kind: number, bytes: number): SqlValue {
  if (kind >= 12) {
    const value = record.subarray(at, at + bytes);
    return kind % 2 === 0 ? asBuffer(value) : value.toString("utf8");
  }
  if (kind === 0) return null;
  if (kind >= 8) return kind - 8;
  if (kind === 7) return record.readDoubleBE(at);
  return bytes === 8 ? Number(record.readBigInt64BE(at)) : record.readIntBE(at, bytes);
}

class BigEndianReader {
  readonly #bytes: Buffer;
  pos: number;

  constructor(bytes: Buffer, pos: number) {
    this.#bytes = bytes;
    this.pos = pos;
  }

  /** @throws RangeError where the bytes end, and beyond 2^53 */
  varint(): number {
    let value = 0;
    for (let n = 0; n < 9; n++) {
      const byte = this.#bytes[this.pos++];
      if (byte === undefined) throw new RangeError("the bytes end inside of a number");
      if (n === 8) value = value * 256 + byte;
      else value = value * 128 + (byte & 127);
      if (byte < 128 || n === 8) break;
    }
    if (!Number.isSafeInteger(value)) throw new RangeError("a number that no row of ours has");
    return value;
  }
}
