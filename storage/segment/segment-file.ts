/**
 * One segment: a SQLite file with blocks of a range of a shard's log.
 *
 * Not an index: which block holds what is known to `state.db` alone. Invariants: blocks are numbered from 1 without holes and are never
 * changed; a block is referred to only after its transaction was synced. A crash can leave blocks above the last one that `state.db`
 * counts (*orphans*): nobody reads them, and whoever opens the file for writing removes them first.
 */
import type { Offset, ShardId } from "../types.ts";
import { type SqlDatabase } from "../sqlite.ts";
import { pack, unpack } from "./codec.ts";
import { type FileFormat } from "./database-file.ts";
import { CorruptionError } from "../errors.ts";

export const SEGMENT_FORMAT: FileFormat = {
  name: "segment",
  /** "PSEG" */
  applicationId: 0x50534547,
  version: 1,
  pageBytes: 1024,
  schema: `
    CREATE TABLE block(
      block INTEGER PRIMARY KEY,        -- from 1, dense
      flush INTEGER NOT NULL,           -- number of the flush that wrote it
      through_offset INTEGER NOT NULL,  -- that flush reached this offset of the log
      codec INTEGER NOT NULL,           -- 0 raw, 1 lz4 (u32 raw size, LZ4 block)
      raw_bytes INTEGER NOT NULL,
      crc INTEGER NOT NULL,             -- CRC-32 of shard, segment, the columns above and data
      data BLOB NOT NULL
    );`,
};

export type BlockPlace = { shard: ShardId; segment: number; block: number };
type BlockHead = { flush: number; through_offset: number; codec: number; raw_bytes: number };
type BlockRow = BlockHead & { crc: number; data: Uint8Array };

/** Appends a block; a transaction must be open. */
export function insertBlock(db: SqlDatabase, place: BlockPlace, flush: number, through: Offset, raw: Buffer): void {
  const { codec, data } = pack(raw);
  const crc = checksum(place, { flush, through_offset: through, codec, raw_bytes: raw.length }, data);
  db.sql("INSERT INTO block VALUES (?, ?, ?, ?, ?, ?, ?)").run(
    place.block,
    flush,
    through,
    codec,
    raw.length,
    crc,
    data,
  );
}

/** Removes what a crash left above `lastBlock`. */
export function removeOrphans(db: SqlDatabase, lastBlock: number): void {
  db.sql("DELETE FROM block WHERE block > ?").run(lastBlock);
}

/** The unpacked bytes of a block that `state.db` refers to. @throws CorruptionError when it is missing or not what was written. */
export function readBlock(db: SqlDatabase, place: BlockPlace): Buffer {
  const at = blockAt(place.block);
  const row = db
    .sql("SELECT flush, through_offset, codec, raw_bytes, crc, data FROM block WHERE block = ?")
    .get<BlockRow>(place.block);
  if (row === undefined) throw new CorruptionError(db.file, at, "block is missing");
  const data = Buffer.from(row.data.buffer, row.data.byteOffset, row.data.length);
  if (checksum(place, row, data) !== row.crc) throw new CorruptionError(db.file, at, "checksum does not match");
  const raw = unpack(row.codec, data);
  if (raw.length !== row.raw_bytes)
    throw new CorruptionError(db.file, at, `${raw.length} bytes instead of ${row.raw_bytes}`);
  return raw;
}

/** A block as a place in its file, for people. */
export function blockAt(block: number): string {
  return `table block, row ${block}`;
}

/** Numbers of the blocks up to `lastBlock` that flushes beyond `offset` wrote, newest first. */
export function blocksBeyond(db: SqlDatabase, lastBlock: number, offset: Offset): number[] {
  const found: number[] = [];
  for (let block = lastBlock; block > 0; block--) {
    const row = db.sql("SELECT through_offset FROM block WHERE block = ?").get<BlockHead>(block);
    if (row !== undefined && row.through_offset <= offset) break;
    found.push(block);
  }
  return found;
}

/** Covers place and columns too, so that a block found in the wrong file or row is not believed. */
function checksum(place: BlockPlace, head: BlockHead, data: Buffer): number {
  const bytes = Buffer.allocUnsafe(31);
  bytes.writeUInt16LE(place.shard, 0);
  bytes.writeUInt32LE(place.segment, 2);
  bytes.writeUIntLE(place.block, 6, 6);
  bytes.writeUIntLE(head.flush, 12, 6);
  bytes.writeUIntLE(head.through_offset, 18, 6);
  bytes.writeUInt8(head.codec, 24);
  bytes.writeUIntLE(head.raw_bytes, 25, 6);
  return Bun.hash.crc32(data, Bun.hash.crc32(bytes));
}
