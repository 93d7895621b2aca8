/**
 * A database with the write-ahead file that a crash left. Compares reading it by hand, as `verify` does, with opening a
 * copy in SQLite, and counts the pages that each can read from a file with one wrong bit. Run it with `npx bun
 * bench/probes/sqlite-wal.ts [rounds] [part]`.
 */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { databaseImage, SqlDatabase } from "../../storage/files/sqlite/database.ts";
import { openImage } from "../../storage/tools/database-image.ts";
import { readSqliteWal } from "../../storage/tools/sqlite-wal.ts";
import { seededRandom } from "../storage/measure.ts";

const [rounds = 5, part = 1] = process.argv.slice(2).map(Number);
const directory = fs.mkdtempSync(join(tmpdir(), "sqlite-wal-"));
const crashed = join(directory, "crashed.db");

/** Makes 30 MiB, and 16 MiB in the write-ahead file: the sizes of `recent.db` before a checkpoint. */
function makeCrashed(): void {
  const open = join(directory, "open.db");
  fs.writeFileSync(open, databaseImage("PRAGMA page_size = 512; CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB)"));
  const db = new SqlDatabase(open, "readwrite");
  db.exec("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF");
  const put = (rows: number): void =>
    db.within("BEGIN IMMEDIATE", () => {
      for (let row = 0; row < rows; row++) db.sql("INSERT INTO t(b) VALUES (?)").run(Buffer.alloc(4000, row));
    });
  for (let flush = 0; flush < 20; flush++) put(400 * part);
  db.pragma("wal_checkpoint(TRUNCATE)");
  for (let flush = 0; flush < 10; flush++) put(380 * part);
  for (const end of ["", "-wal"]) fs.copyFileSync(open + end, crashed + end);
  db.close();
}

const countOf = (db: SqlDatabase): number =>
  db.sql("SELECT sum(length(b)) AS bytes FROM t").get<{ bytes: number }>()!.bytes;

function byHand(): number {
  const { db } = openImage(crashed);
  try {
    return countOf(db);
  } finally {
    db.close();
  }
}

function byCopy(): number {
  const copy = join(directory, "copy.db");
  for (const end of ["", "-wal"]) fs.copyFileSync(crashed + end, copy + end);
  const db = new SqlDatabase(copy, "readwrite");
  try {
    return countOf(db);
  } finally {
    db.close();
    for (const end of ["", "-wal", "-shm"]) fs.rmSync(copy + end, { force: true });
  }
}

function cpuMs(read: () => number): number {
  const from = process.cpuUsage();
  read();
  const { user, system } = process.cpuUsage(from);
  return (user + system) / 1000;
}

/** Share of pages that can be read from a file with one wrong bit, by SQLite and by `repair`. */
function pagesLeft(): [number, number] {
  const whole = fs.readFileSync(`${crashed}-wal`);
  const all = readSqliteWal(whole).pages.size;
  const random = seededRandom(5);
  const sums: [number, number] = [0, 0];
  for (let round = 0; round < 4 * rounds; round++) {
    const bytes = Buffer.from(whole);
    bytes[32 + Math.floor(random() * (bytes.length - 32))]! ^= 1 << (round & 7);
    sums[0] += readSqliteWal(bytes).pages.size / all;
    sums[1] += readSqliteWal(bytes, { isWhole: false }).pages.size / all;
  }
  return [sums[0] / (4 * rounds), sums[1] / (4 * rounds)];
}

try {
  makeCrashed();
  if (byHand() !== byCopy()) throw new Error("they read different rows");
  const times = Array.from({ length: rounds }, () => [cpuMs(byHand), cpuMs(byCopy)] as const);
  const ratios = times.map(([hand, copy]) => hand / copy).toSorted((a, b) => a - b);
  const range = (side: 0 | 1): string => {
    const all = times.map((round) => round[side]).toSorted((a, b) => a - b);
    return `${all[0]!.toFixed(0)} to ${all.at(-1)!.toFixed(0)} ms`;
  };
  process.stdout.write(`CPU: by hand ${range(0)}, a copy ${range(1)}; `);
  process.stdout.write(`ratio ${ratios[0]!.toFixed(1)} to ${ratios.at(-1)!.toFixed(1)}\n`);
  const [sqlite, salvaged] = pagesLeft();
  process.stdout.write(
    `pages left with one wrong bit: ${(sqlite * 100).toFixed(1)} % as SQLite reads, ${(salvaged * 100).toFixed(2)} % as repair reads\n`,
  );
} finally {
  fs.rmSync(directory, { recursive: true });
}
