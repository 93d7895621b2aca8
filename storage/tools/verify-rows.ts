/**
 * Every row of a `state.db` or of `recent.db` by itself: the tables are those of the format, and each checksum is
 * right.
 */
import { CorruptionError } from "../errors.ts";
import { EARLIER_PAGE_SCHEMA, PAGE_SCHEMA } from "../files/layers/page-table.ts";
import { hasPositions, POSITION_SCHEMA } from "../files/layers/position-table.ts";
import { RECENT_FORMAT } from "../files/layers/recent-file.ts";
import { databaseImage, SqlDatabase } from "../files/sqlite/database.ts";
import { checkedRow, type Table } from "../files/sqlite/row-crc.ts";
import { PLACED_SCHEMA, STATE_FORMAT } from "../files/placed/state-file.ts";
import { hasPlacedTables } from "../files/placed/state-reader.ts";

const FIRST_TABLES: readonly Table[] = ["shard", "name", "page"];
const PLACED_TABLES: readonly Table[] = [
  "segment",
  "timeline",
  "lane",
  "run",
  "tail",
  "key_page",
  "key_hash",
  "erasure",
];
export const RECENT_TABLES: readonly Table[] = ["shard", "page"];

export const recentSchema = (recent: SqlDatabase): string =>
  hasPositions(recent) ? RECENT_FORMAT.schema + POSITION_SCHEMA : RECENT_FORMAT.schema;

export const stateTables = (state: SqlDatabase): readonly Table[] =>
  hasPlacedTables(state) ? [...FIRST_TABLES, ...PLACED_TABLES] : FIRST_TABLES;

export type Fault = (place: string, what: string) => void;

/** Before anything is read: a table that is not what it was reads as something else. */
export function verifySchema(db: SqlDatabase, expected: string, fault: Fault): void {
  const found = schemaRows(db);
  const earlier = schemaOf(expected.replace(PAGE_SCHEMA, EARLIER_PAGE_SCHEMA));
  const known = found.get("page") === earlier.get("page") ? earlier : schemaOf(expected);
  for (const [name, sql] of known) {
    if (found.get(name) !== sql)
      fault(`table sqlite_schema, row ${name}`, found.has(name) ? "it is not as it was made" : "it is missing");
  }
  for (const name of found.keys())
    if (!known.has(name)) fault(`table sqlite_schema, row ${name}`, "no table or index of this format");
}

export const stateSchema = (state: SqlDatabase): string =>
  hasPlacedTables(state) ? STATE_FORMAT.schema + PLACED_SCHEMA : STATE_FORMAT.schema;

function schemaOf(schema: string): Map<string, string> {
  const db = new SqlDatabase("the schema", "readonly", 0, Buffer.from(databaseImage(schema)));
  try {
    return schemaRows(db);
  } finally {
    db.close();
  }
}

function schemaRows(db: SqlDatabase): Map<string, string> {
  const rows = db.sql("SELECT type, name, tbl_name, sql FROM sqlite_schema");
  return new Map(
    rows
      .all<{ type: string; name: string; tbl_name: string; sql: string | null }>()
      .map(({ type, name, tbl_name, sql }) => [name, `${type} ${tbl_name} ${sql ?? ""}`]),
  );
}

/** @returns how many rows each table has */
export function verifyRows(db: SqlDatabase, tables: readonly Table[], fault: Fault): Map<Table, number> {
  const counts = new Map<Table, number>();
  for (const table of tables) {
    let rows = 0;
    for (const row of db.sql(`SELECT * FROM ${table}`).each<{ crc: number }>()) {
      rows++;
      try {
        checkedRow(db, table, row);
      } catch (error) {
        if (!(error instanceof CorruptionError)) throw error;
        fault(error.place, "checksum does not match");
      }
    }
    counts.set(table, rows);
  }
  return counts;
}
