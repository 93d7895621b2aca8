/**
 * One segment file: a SQLite file with blocks of entries of a shard.
 *
 * Not an index: which block holds what is known to `state.db` alone. Invariants: rows are numbered from 1 without holes
 * and are never changed; a block is referred to only after its transaction was synced. A crash can leave rows above the
 * last one that `state.db` counts (*orphans*): nobody reads them, and opening the file for writing removes them first.
 */
import { CorruptionError } from "../../errors.ts";
import type { SqlDatabase, SqlValue } from "../sqlite/database.ts";
import type { ShardId } from "../../types.ts";
import { type Packed, unpack } from "../../encoding/packing.ts";
import { type FileFormat } from "../sqlite/database-file.ts";
import { asBuffer } from "../../encoding/byte-reader.ts";

export const SEGMENT_FORMAT: FileFormat = {
  name: "segment",
  /** "PSEG" */
  applicationId: 0x50534547,
  version: 1,
  pageBytes: 1024,
  schema: `
    CREATE TABLE block(
      block INTEGER PRIMARY KEY,        -- from 1, dense
      codec INTEGER NOT NULL,           -- 0 raw, 1 lz4 (u32 raw size, LZ4 block), 2 zstd
      raw_bytes INTEGER NOT NULL,
      crc INTEGER NOT NULL,             -- CRC-32 of shard, file number, the columns above and data
      data BLOB NOT NULL
    );`,
};

export type BlockLocation = { shard: ShardId; file: number; block: number };
/** A block as it lies in a file. */
export type StoredBlock = Packed & { rawBytes: number };
type BlockRow = { codec: number; raw_bytes: number; crc: number; data: Uint8Array };

const CHECKED_HEADER_BYTES = 19;

/** A transaction must be open. */
export function insertBlock(db: SqlDatabase, location: BlockLocation, { codec, data, rawBytes }: StoredBlock): void {
  const crc = checksum(location, codec, rawBytes, data);
  if (Number.isNaN(crc))
    throw new RangeError(`block ${location.block} of ${rawBytes} bytes, codec ${codec}: no such block`);
  db.sql("INSERT INTO block VALUES (?, ?, ?, ?, ?)").run(location.block, codec, rawBytes, crc, data);
}

/** Removes what a crash left above `lastBlock`. */
export function removeOrphans(db: SqlDatabase, lastBlock: number): void {
  db.sql("DELETE FROM block WHERE block > ?").run(lastBlock);
}

/**
 * A block that `state.db` refers to, still packed.
 * @throws CorruptionError when it is missing or not what was written.
 */
export function readStoredBlock(db: SqlDatabase, location: BlockLocation): StoredBlock {
  const row = db.sql("SELECT codec, raw_bytes, crc, data FROM block WHERE block = ?").get<BlockRow>(location.block);
  if (row === undefined) throw new CorruptionError(db.file, blockAt(location.block), "block is missing");
  const data = row.data instanceof Uint8Array ? asBuffer(row.data) : undefined;
  if (data === undefined || checksum(location, row.codec, row.raw_bytes, data) !== row.crc) {
    throw new CorruptionError(db.file, blockAt(location.block), "checksum does not match");
  }
  return { codec: row.codec, rawBytes: row.raw_bytes, data };
}

/** The same, unpacked. */
export function readBlock(db: SqlDatabase, location: BlockLocation): Buffer {
  const { codec, data, rawBytes } = readStoredBlock(db, location);
  const raw = unpack(codec, data);
  if (raw.length === rawBytes) return raw;
  throw new CorruptionError(db.file, blockAt(location.block), `${raw.length} bytes instead of ${rawBytes}`);
}

/**
 * The block that a row of table `block` holds, unpacked, for callers that found the row without SQLite; undefined when
 * it is not what was written there.
 */
export function wholeBlock(
  location: BlockLocation,
  [, codec, rawBytes, crc, data]: readonly SqlValue[],
): Buffer | undefined {
  if (typeof codec !== "number" || typeof rawBytes !== "number" || !(data instanceof Uint8Array)) return undefined;
  const bytes = asBuffer(data);
  if (checksum(location, codec, rawBytes, bytes) !== crc) return undefined;
  const raw = unpack(codec, bytes);
  return raw.length === rawBytes ? raw : undefined;
}

/** The place of a block in its file, for people. */
export function blockAt(block: number): string {
  return `table block, row ${block}`;
}

/**
 * Covers location and columns too, so that a block found in the wrong file or row is not believed. Signed: SQLite stores
 * four bytes. NaN, which equals nothing, for numbers that no block has: damage made them.
 */
function checksum(location: BlockLocation, codec: number, rawBytes: number, data: Buffer): number {
  if (!isCount(location.block) || !isCount(rawBytes) || !Number.isInteger(codec)) return Number.NaN;
  const header = Buffer.allocUnsafe(CHECKED_HEADER_BYTES);
  header.writeUInt16LE(location.shard, 0);
  header.writeUInt32LE(location.file, 2);
  header.writeUIntLE(location.block, 6, 6);
  header.writeUInt8(codec & 255, 12);
  header.writeUIntLE(rawBytes, 13, 6);
  return Bun.hash.crc32(data, Bun.hash.crc32(header)) | 0;
}

/** What six bytes hold. */
const isCount = (value: number): boolean => Number.isInteger(value) && value >= 0 && value < 2 ** 48;
