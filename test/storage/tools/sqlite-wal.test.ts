import { afterAll, beforeAll, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { databaseImage, SqlDatabase } from "../../../storage/files/sqlite/database.ts";
import { openImage } from "../../../storage/tools/database-image.ts";
import { readSqliteWal } from "../../../storage/tools/sqlite-wal.ts";

const FRAME = 24 + 1024;
let directory: string;
/** As `kill -9` leaves it: three transactions in the write-ahead file, the last of several pages. */
let file: string;
let wal: Buffer;

beforeAll(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "parley-wal-"));
  const open = join(directory, "open.db");
  file = join(directory, "crashed.db");
  fs.writeFileSync(open, databaseImage("PRAGMA page_size = 1024; CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB)"));
  const db = new SqlDatabase(open, "readwrite");
  db.pragma("journal_mode = WAL");
  db.pragma("wal_autocheckpoint = 0");
  for (const rows of [1, 1, 8]) {
    db.within("BEGIN IMMEDIATE", () => {
      for (let row = 0; row < rows; row++) db.sql("INSERT INTO t(b) VALUES (?)").run(Buffer.alloc(500, row + 1));
    });
  }
  fs.copyFileSync(open, file);
  fs.copyFileSync(`${open}-wal`, `${file}-wal`);
  db.close();
  wal = fs.readFileSync(`${file}-wal`);
});
afterAll(() => fs.rmSync(directory, { recursive: true }));

function rowsWith(bytes: Buffer): number {
  const path = join(directory, "changed.db");
  fs.copyFileSync(file, path);
  fs.writeFileSync(`${path}-wal`, bytes);
  const { db } = openImage(path);
  try {
    return db.sql("SELECT count(*) AS rows FROM t").get<{ rows: number }>()!.rows;
  } finally {
    db.close();
  }
}

/** What SQLite makes of the same bytes. */
function rowsOfSqlite(bytes: Buffer): number {
  const path = join(directory, "opened.db");
  fs.copyFileSync(file, path);
  fs.rmSync(`${path}-shm`, { force: true });
  fs.writeFileSync(`${path}-wal`, bytes);
  const db = new SqlDatabase(path, "readwrite");
  try {
    return db.sql("SELECT count(*) AS rows FROM t").get<{ rows: number }>()!.rows;
  } finally {
    db.close();
  }
}

test("what is committed in the write-ahead file counts, and nothing on disk changes", () => {
  const before = fs.readdirSync(directory).map((name) => [name, fs.readFileSync(join(directory, name), "hex")]);
  const { db, faults } = openImage(file);
  expect(db.sql("SELECT count(*) AS rows FROM t").get<{ rows: number }>()).toEqual({ rows: 10 });
  db.close();
  expect(faults).toEqual([]);
  const after = fs.readdirSync(directory).map((name) => [name, fs.readFileSync(join(directory, name), "hex")]);
  expect(after).toEqual(before);
});

test("a file that a crash cut short anywhere counts as far as SQLite counts it, and is not called damaged", () => {
  for (let length = 0; length <= wal.length; length += 131) {
    const cut = wal.subarray(0, length);
    expect(readSqliteWal(cut).faults).toEqual([]);
    if (length % (131 * 4) === 0) expect(rowsWith(cut)).toBe(rowsOfSqlite(cut));
  }
});

test("one flipped bit in a transaction that others follow is found", () => {
  for (let at = 32; at < 32 + 2 * FRAME; at += 37) {
    const changed = Buffer.from(wal);
    changed[at]! ^= 1 << (at % 8);
    if (readSqliteWal(changed).faults.length !== 1) throw new Error(`byte ${at} of ${wal.length} was not found`);
  }
});

test("frames of an earlier use of the file are not called damaged", () => {
  const path = join(directory, "reused.db");
  fs.copyFileSync(file, path);
  fs.copyFileSync(`${file}-wal`, `${path}-wal`);
  const db = new SqlDatabase(path, "readwrite");
  db.pragma("wal_checkpoint(RESTART)");
  db.sql("INSERT INTO t(b) VALUES (?)").run(Buffer.alloc(10));
  const bytes = fs.readFileSync(`${path}-wal`);
  db.close();
  expect(bytes.length).toBe(wal.length);
  const read = readSqliteWal(bytes);
  expect(read.faults).toEqual([]);
  expect(read.wholeBytes).toBeLessThan(wal.length);
});
