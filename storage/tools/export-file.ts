/**
 * An exported shard: its SQLite files in one file, as a stream of checked parts.
 *
 *     file     "PARLEYSX" | u32 version | part…
 *     part     u8 kind | u32 bytes | u32 crc | data
 *     kind     1 header: JSON {shard, term, flushedThrough, streams}      first, once
 *              2 name of a file: "state.db" or "segment-000001.db"      each once
 *              3 bytes of that file, at most 1 MiB
 *              4 end: JSON {files, bytes}                               last, once
 *
 * Integers little-endian. `crc` is CRC-32 over kind, bytes and data, going on from the crc of the part before (from
 * that of magic and version): a part that is changed, missing, or in another place is found where it is.
 *
 * Not a backup of a directory: keys, and what stands in the log alone, are elsewhere. Nothing here knows what the files
 * hold.
 */
import * as fs from "node:fs";
import { CorruptionError, FormatError } from "../errors.ts";

export const SHARD_FILE_VERSION = 1;
const MAGIC = Buffer.from("PARLEYSX", "latin1");
const HEADER_BYTES = MAGIC.length + 4;
const PART_HEADER_BYTES = 9;
const PART_BYTES_MAX = 1 << 20;

const HEADER = 1;
const NAME = 2;
const BYTES = 3;
const END = 4;

const FILE_NAME = /^(state|segment-\d{6})\.db$/;

export type ExportHeader = { shard: number; term: number; flushedThrough: number; streams: number };
export type ExportEnd = { files: number; bytes: number };

/** Writes an exported shard; the caller opens, syncs and closes the file. */
export class ExportWriter {
  readonly #file: number;
  #crc = 0;
  readonly #end: ExportEnd = { files: 0, bytes: 0 };

  constructor(file: number, header: ExportHeader) {
    this.#file = file;
    const start = Buffer.alloc(HEADER_BYTES);
    MAGIC.copy(start);
    start.writeUInt32LE(SHARD_FILE_VERSION, MAGIC.length);
    writeAll(file, start);
    this.#crc = Bun.hash.crc32(start);
    this.#part(HEADER, json(header));
  }

  /** Copies a file in. */
  add(name: string, from: string, progress: (bytes: number) => void): void {
    this.#part(NAME, Buffer.from(name));
    this.#end.files++;
    eachPiece(from, (piece) => {
      this.#part(BYTES, piece);
      this.#end.bytes += piece.length;
      progress(piece.length);
    });
  }

  end(): ExportEnd {
    this.#part(END, json(this.#end));
    return this.#end;
  }

  #part(kind: number, data: Buffer): void {
    const header = Buffer.alloc(PART_HEADER_BYTES);
    header.writeUInt8(kind, 0);
    header.writeUInt32LE(data.length, 1);
    this.#crc = partCrc(header, data, this.#crc);
    header.writeUInt32LE(this.#crc, 5);
    writeAll(this.#file, header);
    writeAll(this.#file, data);
  }
}

export type ShardFileVisitor = {
  header(header: ExportHeader): void;
  /** The bytes that follow are of this file. */
  file(name: string): void;
  /** Valid until the call returns. */
  bytes(piece: Buffer): void;
};

/**
 * Reads an exported shard from its beginning to its end. What the visitor got is right, and once this returns it is
 * complete.
 * @throws CorruptionError, FormatError
 */
export function readExport(path: string, visit: ShardFileVisitor): ExportEnd {
  const file = fs.openSync(path, "r");
  try {
    return new ExportReader(path, file).read(visit);
  } finally {
    fs.closeSync(file);
  }
}

/** What it says of itself, before anything else of it is read. */
export function readExportHeader(path: string): ExportHeader {
  const file = fs.openSync(path, "r");
  try {
    return new ExportReader(path, file).readHeader();
  } finally {
    fs.closeSync(file);
  }
}

class ExportReader {
  readonly #path: string;
  readonly #file: number;
  #at = 0;
  #crc = 0;
  #bytes = 0;
  readonly #names = new Set<string>();

  constructor(path: string, file: number) {
    this.#path = path;
    this.#file = file;
  }

  readHeader(): ExportHeader {
    this.#readStart();
    const { kind, data } = this.#part();
    if (kind !== HEADER) throw this.#damage("the first part is not the header");
    return this.#parsed<ExportHeader>(data);
  }

  read(visit: ShardFileVisitor): ExportEnd {
    visit.header(this.readHeader());
    for (;;) {
      const { kind, data } = this.#part();
      if (kind === NAME) visit.file(this.#name(data));
      else if (kind === BYTES && this.#names.size > 0) this.#visitBytes(data, visit);
      else if (kind === END) return this.#readEnd(data);
      else throw this.#damage(`a part of kind ${kind} where none can be`);
    }
  }

  #readStart(): void {
    const start = this.#read(HEADER_BYTES);
    if (!start.subarray(0, MAGIC.length).equals(MAGIC))
      throw new CorruptionError(this.#path, "byte 0", "not an exported shard");
    const version = start.readUInt32LE(MAGIC.length);
    this.#crc = Bun.hash.crc32(start);
    // A newer version is believed only with its checksum: one flipped bit makes a newer version, too.
    if (version === SHARD_FILE_VERSION) return;
    this.#part();
    throw new FormatError(this.#path, version, SHARD_FILE_VERSION);
  }

  #part(): { kind: number; data: Buffer } {
    const at = this.#at;
    const header = this.#read(PART_HEADER_BYTES);
    const bytes = header.readUInt32LE(1);
    if (bytes > PART_BYTES_MAX) throw this.#damage(`a part of ${bytes} bytes`, at);
    const data = this.#read(bytes);
    this.#crc = partCrc(header, data, this.#crc);
    if (this.#crc !== header.readUInt32LE(5)) throw this.#damage("a part fails its checksum", at);
    return { kind: header[0]!, data };
  }

  #name(data: Buffer): string {
    const name = data.toString();
    if (!FILE_NAME.test(name) || this.#names.has(name))
      throw this.#damage(`a file cannot be named ${JSON.stringify(name)}`);
    this.#names.add(name);
    return name;
  }

  #visitBytes(data: Buffer, visit: ShardFileVisitor): void {
    this.#bytes += data.length;
    visit.bytes(data);
  }

  #readEnd(data: Buffer): ExportEnd {
    const end = this.#parsed<ExportEnd>(data);
    if (end.files !== this.#names.size || end.bytes !== this.#bytes)
      throw this.#damage("the end counts other files than there are");
    if (fs.fstatSync(this.#file).size !== this.#at) throw this.#damage("something follows the end");
    return end;
  }

  /** Whoever made the file may have made the checksum, too. */
  #parsed<T extends object>(data: Buffer): T {
    let value: unknown;
    try {
      value = JSON.parse(data.toString());
    } catch {
      throw this.#damage("a part is not JSON");
    }
    if (typeof value !== "object" || value === null) throw this.#damage("a part is no object");
    return value as T;
  }

  #read(bytes: number): Buffer {
    const into = Buffer.allocUnsafe(bytes);
    for (let got = 0; got < bytes;) {
      const read = fs.readSync(this.#file, into, got, bytes - got, this.#at + got);
      if (read === 0) throw this.#damage("the file is cut short", this.#at + got);
      got += read;
    }
    this.#at += bytes;
    return into;
  }

  #damage(what: string, at = this.#at): CorruptionError {
    return new CorruptionError(this.#path, `byte ${at}`, what);
  }
}

const partCrc = (header: Buffer, data: Buffer, before: number): number =>
  Bun.hash.crc32(data, Bun.hash.crc32(header.subarray(0, 5), before));

const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));

function eachPiece(path: string, visit: (piece: Buffer) => void): void {
  const file = fs.openSync(path, "r");
  const buffer = Buffer.allocUnsafe(PART_BYTES_MAX);
  try {
    for (;;) {
      const read = fs.readSync(file, buffer, 0, buffer.length, null);
      if (read === 0) return;
      visit(buffer.subarray(0, read));
    }
  } finally {
    fs.closeSync(file);
  }
}

export function writeAll(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += fs.writeSync(file, bytes, at);
}
