/**
 * The checksum in every row of `state.db` and `recent.db`, so that no changed bit is believed: SQLite itself checks
 * structure, not content.
 *
 * It covers first the bytes of all blobs, then the name of the table and for each value one byte of its kind, then a
 * number as float64, a text as u32 length and UTF-8, a blob as its u32 length.
 */
import { CorruptionError } from "../../errors.ts";
import type { SqlDatabase, SqlValue } from "./database.ts";

export type Table =
  | "shard"
  | "position"
  | "name"
  | "page"
  | "segment"
  | "timeline"
  | "lane"
  | "run"
  | "tail"
  | "key_page"
  | "key_hash"
  | "erasure";

const KIND_NULL = 0;
const KIND_NUMBER = 1;
const KIND_TEXT = 2;
const KIND_BYTES = 3;

/** CRC-32, signed so that SQLite stores four bytes. `values` are the columns but `crc`, in their order in the table. */
export function rowCrc(table: Table, values: readonly SqlValue[]): number {
  const header = Buffer.allocUnsafe(headerBytes(table, values));
  let pos = header.write(table, "latin1");
  let crc = 0;
  for (const value of values) {
    if (typeof value === "number") {
      header[pos] = KIND_NUMBER;
      pos = header.writeDoubleLE(value, pos + 1);
    } else if (typeof value === "string") {
      header[pos] = KIND_TEXT;
      const bytes = header.write(value, pos + 5);
      pos = header.writeUInt32LE(bytes, pos + 1) + bytes;
    } else if (value === null) header[pos++] = KIND_NULL;
    else {
      header[pos] = KIND_BYTES;
      pos = header.writeUInt32LE(value.length, pos + 1);
      crc = Bun.hash.crc32(value, crc);
    }
  }
  return Bun.hash.crc32(header, crc) | 0;
}

function headerBytes(table: Table, values: readonly SqlValue[]): number {
  let bytes: number = table.length;
  for (const value of values) {
    if (typeof value === "number") bytes += 9;
    else if (typeof value === "string") bytes += 5 + Buffer.byteLength(value);
    else bytes += value === null ? 1 : 5;
  }
  return bytes;
}

/** Names of columns, by table; `shard` of `state.db`, then of `recent.db`. */
const COLUMNS: Record<Table, readonly string[]> = {
  shard: [
    "shard,flush,flushed_through,term,streams,lanes,files,erasures,layers,crc",
    "shard,flushed_through,term,streams,own_through,layers,crc",
  ],
  position: ["shard,flushed_through,position,crc"],
  name: ["page,names,crc"],
  page: ["shard,layer,first,through,codec,raw_bytes,data,crc"],
  segment: ["segment,file,base,blocks,status,packing,crc"],
  timeline: ["stream_no,first_seq,page,crc"],
  lane: ["stream_no,name,lane,crc"],
  run: ["lane,last_seq,first_seq,segment,block,entries,crc"],
  tail: ["tail,first_seq,last_seq,entries,codec,raw_bytes,data,crc"],
  key_page: ["stream_no,prefix,first,page,crc"],
  key_hash: ["stream_no,hash,seq,alone,crc"],
  erasure: ["id,stream_no,lane,from_seq,to_seq,crc"],
};

/**
 * Checksums cover no names of columns, so they are compared with the first row that is read of a table: asking SQLite
 * when a file is opened would cost a third of opening it.
 */
function checkNames(db: SqlDatabase, table: Table, row: object): void {
  const names = Object.keys(row).join();
  if (!COLUMNS[table].includes(names))
    throw new CorruptionError(
      db.file,
      `table ${table}`,
      `its columns are not those that it was made with, but ${names}`,
    );
  db.namedTables.add(table);
}

/** The row itself, checked. Its columns are in the order of the table and `crc` comes last. @throws CorruptionError */
export function checkedRow<Row extends { crc: number }>(state: SqlDatabase, table: Table, row: Row): Row {
  if (!state.namedTables.has(table)) checkNames(state, table, row);
  const values = Object.values(row as Record<string, SqlValue>);
  const crc = values.pop();
  if (rowCrc(table, values) === crc) return row;
  throw new CorruptionError(state.file, `table ${table}, row ${describe(values)}`, "checksum does not match");
}

export function checkedRows<Row extends { crc: number }>(state: SqlDatabase, table: Table, rows: Row[]): Row[] {
  for (const row of rows) checkedRow(state, table, row);
  return rows;
}

/** For people: the numbers and names a row begins with. */
function describe(values: SqlValue[]): string {
  const named = values.slice(0, 3).filter((value) => typeof value === "number" || typeof value === "string");
  return named.map((value) => (typeof value === "string" ? JSON.stringify(value.slice(0, 40)) : value)).join("/");
}
