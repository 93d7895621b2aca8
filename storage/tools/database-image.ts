/**
 * A SQLite file as it stands, for tools that must not change anything: read as bytes, its write-ahead file folded in,
 * opened in memory. Takes twice the memory of the file while it is open.
 *
 * Only for a directory that nobody writes to: bytes that are read during a write are no database.
 */
import * as fs from "node:fs";
import { SqlDatabase } from "../files/sqlite/database.ts";
import { readWholeFile } from "../vfs/whole-file.ts";
import { foldedImage, readSqliteWal } from "./sqlite-wal.ts";

export type DatabaseImage = {
  db: SqlDatabase;
  faults: { file: string; place: string; what: string }[];
};

export function openImage(path: string): DatabaseImage {
  const walPath = `${path}-wal`;
  const wal = fs.existsSync(walPath) ? readSqliteWal(readWholeFile(walPath)) : undefined;
  const image = foldedImage(readWholeFile(path), wal);
  const faults = (wal?.faults ?? []).map(({ at, what }) => ({ file: walPath, place: `byte ${at}`, what }));
  return { db: new SqlDatabase(path, "readonly", 0, image), faults };
}

/** What SQLite itself finds wrong, at most 20 lines. */
export function integrityFaults(db: SqlDatabase): string[] {
  const rows = db.sql("PRAGMA integrity_check(20)").all<{ integrity_check: string }>();
  return rows.map((row) => row.integrity_check).filter((line) => line !== "ok");
}
