/**
 * The SQLite driver alone, through the store's own port: blocks as in segments, and rows as small as those of the block
 * directory.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { databaseImage, SqlDatabase } from "../../storage/files/sqlite/database.ts";
import { round4, seededRandom } from "./measure.ts";
import type { PartContext } from "./part.ts";

export type RowsParameters = { rows: number; blocks: number; blockBytes: number };

/** µs for one operation. */
export type RowsFigures = { insertRow: number; getRow: number; insertBlock: number; getBlock: number };

const SCHEMA = `
CREATE TABLE small (stream INTEGER, seq INTEGER, segment INTEGER, block INTEGER, PRIMARY KEY (stream, seq)) WITHOUT ROWID;
CREATE TABLE block (block INTEGER PRIMARY KEY, crc INTEGER, data BLOB);`;

export async function rows(parameters: RowsParameters, { directory, progress }: PartContext): Promise<RowsFigures> {
  progress(0, 1);
  const path = join(directory, "rows.db");
  writeFileSync(path, databaseImage(SCHEMA));
  const db = new SqlDatabase(path, "readwrite");
  db.pragma("journal_mode = wal");
  const random = seededRandom(3);
  const data = Buffer.from(Array.from({ length: parameters.blockBytes }, () => Math.floor(random() * 256)));
  const figures = {
    insertRow: micros(parameters.rows, db, (at) =>
      db.sql("INSERT INTO small VALUES (?, ?, ?, ?)").run(at % 100, at, at & 7, at * 3),
    ),
    getRow: micros(parameters.rows, db, (at) => {
      const row = db
        .sql("SELECT segment, block FROM small WHERE stream = ? AND seq = ?")
        .get<{ block: number }>(at % 100, at);
      if (row?.block !== at * 3) throw new Error(`row ${at} is not there`);
    }),
    insertBlock: micros(parameters.blocks, db, (at) => db.sql("INSERT INTO block VALUES (?, ?, ?)").run(at, at, data)),
    getBlock: micros(parameters.blocks, db, (at) => {
      const row = db.sql("SELECT crc, data FROM block WHERE block = ?").get<{ data: Uint8Array }>(at);
      if (row?.data.length !== data.length) throw new Error(`block ${at} is not there`);
    }),
  };
  db.close();
  return figures;
}

function micros(count: number, db: SqlDatabase, one: (at: number) => void): number {
  const from = performance.now();
  db.within("BEGIN IMMEDIATE", () => {
    for (let at = 0; at < count; at++) one(at);
  });
  return round4(((performance.now() - from) * 1000) / count);
}
