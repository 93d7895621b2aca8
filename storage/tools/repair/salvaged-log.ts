/**
 * What the log has of damaged shards: in `wal/`, and in what was set aside for them (`damaged/`). Records behind a
 * damaged part count as well: each frame has its own checksum.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { DAMAGED_DIRECTORY } from "../../log/damaged-directory.ts";
import { FormatError } from "../../errors.ts";
import {
  decodeOperations,
  readRecordHeader,
  RECORD_HEADER_BYTES,
  recordEnd,
  recordShard,
} from "../../encoding/record.ts";
import { SHARD_COUNT, type ShardId } from "../../types.ts";
import { realFileSystem } from "../../vfs/file-system.ts";
import { readWholeFile } from "../../vfs/whole-file.ts";
import { walFileName, walFileNo } from "../../log/local/frame.ts";
import { type Extent, readExtent } from "../../log/local/log-extent.ts";
import { EMPTIED, isEmptied, reachOf } from "../../log/local/read-log.ts";
import { scanWalFile } from "../../log/local/scan.ts";
import { recentPath } from "../../files/sqlite/paths.ts";
import { LOG_MISSING } from "../../files/sqlite-segments.ts";
import type { ShardContents } from "./shard-contents.ts";
import { type ReadAt, readTorn, systemRead } from "./torn-read.ts";

/** A damaged part of the log, or a file of it that is missing. `from` is where it stands in its file. */
export type LogPart = { file: string; fileNo: number; from: number; bytes: Buffer; what: string };

/** Where a record was found. What was set aside has lost its place in its file. */
type Place = { fileNo: number; byte: number | undefined };

export class SalvagedLog {
  /** By offset. */
  readonly #records = new Map<ShardId, Map<number, Buffer>>();
  /** Of the newest record of each shard. */
  readonly #newest = new Map<ShardId, Place>();
  readonly parts: LogPart[] = [];
  /** Those of `parts` that the disk refused: records may have been there, although the log seems to end before them. */
  readonly unreadable: LogPart[] = [];
  /** Shards with records, wanted or not. */
  readonly seen = new Set<ShardId>();
  /** A file of `wal` had something, or is known to be missing. */
  #isBegun = false;
  readonly #read: ReadAt;

  private constructor(read: ReadAt) {
    this.#read = read;
  }

  /** @param isWanted shards whose records are kept in memory */
  static read(root: string, isWanted: (shard: ShardId) => boolean, read: ReadAt = systemRead): SalvagedLog {
    const log = new SalvagedLog(read);
    for (const folder of [DAMAGED_DIRECTORY, "wal"]) log.#readFolder(root, folder, isWanted);
    // The log's first file is made before `recent.db`, and there is always one. Nothing can be behind it.
    if (!log.#isBegun && fs.existsSync(recentPath(root))) log.#noteLost("wal", Number.MAX_SAFE_INTEGER, LOG_MISSING);
    return log;
  }

  /**
   * Adds what the log knows of the shard. Cells of records that are in the shard's files already go beneath what those
   * say.
   * @param flushedThrough of the files; 0 where nobody knows
   */
  addTo(contents: ShardContents, flushedThrough: number, when: "below" | "above"): void {
    const records = [...(this.#records.get(contents.shard) ?? [])].toSorted(([a], [b]) => a - b);
    for (const [offset, record] of records) {
      if (offset <= flushedThrough === (when === "below")) addRecord(contents, record, offset);
    }
  }

  /**
   * What the log lacks of the shard behind `flushedThrough`: ranges of offsets. `isOpen`: records may be lost behind
   * the newest that is there, since the shard wrote nothing behind a damaged part.
   */
  lacks(shard: ShardId, flushedThrough: number): { ranges: string[]; isOpen: boolean } {
    const offsets = [...(this.#records.get(shard)?.keys() ?? [])].toSorted((a, b) => a - b);
    const ranges: string[] = [];
    let next = flushedThrough + 1;
    for (const offset of offsets) {
      if (offset > next) ranges.push(next === offset - 1 ? `${next}` : `${next} to ${offset - 1}`);
      next = Math.max(next, offset + 1);
    }
    return { ranges, isOpen: this.parts.some((part) => !this.#isBehind(shard, part)) };
  }

  /** Whether records of the shard may have been in a part that the disk refused. */
  mayLackUnread(shard: ShardId): boolean {
    return this.unreadable.some((part) => !this.#isBehind(shard, part));
  }

  has(shard: ShardId, offset: number): boolean {
    return this.#records.get(shard)?.has(offset) === true;
  }

  #isBehind(shard: ShardId, { fileNo, from }: LogPart): boolean {
    const newest = this.#newest.get(shard);
    if (newest === undefined || newest.fileNo < fileNo) return false;
    return newest.fileNo > fileNo || (newest.byte !== undefined && newest.byte > from);
  }

  /** What was erased by a record that the log still has is erased wherever it was found. */
  eraseIn(contents: ShardContents): void {
    for (const [offset, record] of this.#records.get(contents.shard) ?? []) {
      visit(record, {
        erase: (stream, lane, from, to) => contents.stream(stream).erase(from, to, lane, offset),
      });
    }
  }

  #readFolder(root: string, folder: string, isWanted: (shard: ShardId) => boolean): void {
    const directory = join(root, folder);
    const names = fs.existsSync(directory) ? fs.readdirSync(directory).toSorted() : [];
    const numbers = names.map(walFileNo).filter((number) => number !== undefined);
    let chain: number | undefined;
    const extent = folder === "wal" ? extentOf(directory) : undefined;
    const { first, last } = reachOf(numbers, extent);
    if (folder === "wal") for (let fileNo = first; fileNo <= last; fileNo++) this.#noteMissing(numbers, fileNo);
    for (const fileNo of numbers) {
      const name = walFileName(fileNo);
      const { bytes, torn } = readTorn(join(directory, name), this.#read);
      for (const { from, to } of torn)
        this.unreadable.push({
          file: `${folder}/${name}`,
          fileNo,
          from,
          bytes: Buffer.alloc(0),
          what: unread(from, to),
        });
      // What was set aside has chains of its own.
      const place = { fileNo, isLast: fileNo === last, chain: folder === "wal" ? chain : undefined };
      const scan = scanWalFile(
        `${folder}/${name}`,
        bytes,
        place,
        (from, to) => this.#readFrame(fileNo, folder === "wal", bytes, from, to, isWanted),
        ({ file, from, to, error, isEmpty }) => {
          const part = Buffer.from(bytes.subarray(from, to));
          if (!isEmpty) this.parts.push({ file, fileNo, from, bytes: part, what: error.message });
        },
      );
      chain = scan.chain;
      if (folder === "wal" && scan.wholeBytes > 0) this.#isBegun = true;
      if (extent !== undefined && fileNo === last && isEmptied(bytes, fileNo, extent))
        this.#noteLost(`${folder}/${name}`, fileNo, EMPTIED);
    }
    this.parts.push(...this.unreadable.filter(({ file }) => file.startsWith(`${folder}/`)));
    for (const name of names) {
      const [, file, from] = /^(\d{10})-(\d+)\.part$/.exec(name) ?? [];
      if (file === undefined) continue;
      const bytes = readWholeFile(join(directory, name));
      const place = { file: `wal/${file}.wal`, fileNo: Number(file), from: Number(from) };
      const what = bytes.length > 0 ? `kept as ${folder}/${name}` : "a log file is missing";
      this.parts.push({ ...place, bytes, what });
    }
  }

  #noteMissing(numbers: readonly number[], fileNo: number): void {
    if (numbers.includes(fileNo)) return;
    this.#noteLost(`wal/${walFileName(fileNo)}`, fileNo, "a log file is missing");
  }

  #noteLost(file: string, fileNo: number, what: string): void {
    this.#isBegun = true;
    this.parts.push({ file, fileNo, from: 0, bytes: Buffer.alloc(0), what });
  }

  #readFrame(
    fileNo: number,
    isInPlace: boolean,
    bytes: Buffer,
    from: number,
    to: number,
    isWanted: (shard: ShardId) => boolean,
  ): void {
    for (let at = from; at < to;) {
      const end = recordEnd(bytes, at);
      const shard = recordShard(bytes, at);
      if (end > to || end < at + RECORD_HEADER_BYTES || shard >= SHARD_COUNT) return;
      this.seen.add(shard);
      if (isWanted(shard)) this.#keep(shard, bytes.subarray(at, end), { fileNo, byte: isInPlace ? at : undefined });
      at = end;
    }
  }

  #keep(shard: ShardId, record: Buffer, place: Place): void {
    let ofShard = this.#records.get(shard);
    if (ofShard === undefined) this.#records.set(shard, (ofShard = new Map()));
    const { offset } = readRecordHeader(record, 0);
    if (!ofShard.has(offset)) ofShard.set(offset, Buffer.from(record));
    this.#newest.set(shard, place);
  }
}

/** What the log says of itself; nothing where that cannot be read. */
export function extentOf(wal: string): Extent | undefined {
  try {
    return readExtent(wal, realFileSystem).extent;
  } catch (error) {
    if (error instanceof FormatError) throw error;
    return undefined;
  }
}

const unread = (from: number, to: number): string => `bytes ${from} to ${to - 1} cannot be read from the disk`;

function addRecord(contents: ShardContents, record: Buffer, offset: number): void {
  contents.reached(offset);
  contents.term = Math.max(contents.term, readRecordHeader(record, 0).term);
  const slice = (start: number, length: number): Uint8Array => record.subarray(start, start + length);
  visit(record, {
    entry: (stream, lane, key, seq, start, length) =>
      contents.stream(stream).put(seq, { offset, lane, key, payload: slice(start, length) }),
    cell: (stream, key, start, length) =>
      void contents.stream(stream).cells.set(key, start < 0 ? null : slice(start, length)),
    key: (stream, key, seq, start, length) =>
      contents.stream(stream).putKey(key, { seq, value: slice(start, length), offset }),
  });
}

type Visitor = Parameters<typeof decodeOperations>[3];
const NOBODY: Visitor = { entry() {}, cell() {}, key() {}, erase() {} };

/** What cannot be decoded ends it: the bytes are what was written, and what was written is no record. */
function visit(record: Buffer, visitor: Partial<Visitor>): void {
  try {
    decodeOperations(record, RECORD_HEADER_BYTES, record.length, { ...NOBODY, ...visitor });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
}
