/**
 * Compares the index of keys that end in a counter with the simplest alternative: one row a key in a table WITHOUT
 * ROWID. Both have checksums, and place 256 keys in each transaction. Run it with `npx bun bench/probes/keys.ts`.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { countedKey } from "../../storage/encoding/counted-key.ts";
import { KeyIndex } from "../../storage/files/placed/key-index.ts";
import { findKey } from "../../storage/files/placed/key-reader.ts";
import { PLACED_SCHEMA, STATE_FORMAT } from "../../storage/files/placed/state-file.ts";
import { createDatabaseFile, emptyDatabase } from "../../storage/files/sqlite/database-file.ts";
import { SqlDatabase } from "../../storage/files/sqlite/database.ts";
import { rowCrc } from "../../storage/files/sqlite/row-crc.ts";
import type { Seq } from "../../storage/types.ts";
import { seededRandom } from "../storage/measure.ts";

type Key = { streamNo: number; key: string; seq: number; value: Uint8Array | null };
type Index = { add(keys: readonly Key[]): void; find(key: Key): number | undefined };

const ROWS_SCHEMA = `CREATE TABLE key_row(stream_no INT, prefix TEXT, counter INT, seq INT, alone BLOB, crc INT,
  PRIMARY KEY(stream_no, prefix, counter)) WITHOUT ROWID;`;
const PLACED_AT_ONCE = 256;

const pages = (state: SqlDatabase): Index => ({
  add(keys) {
    const index = new KeyIndex(state);
    for (const { streamNo, key, seq, value } of keys) index.add(streamNo, key, { seq: seq as Seq, value }, () => false);
    index.finish();
  },
  find: ({ streamNo, key }) => findKey(state, streamNo, key, () => true)?.seq,
});

type KeyRow = { stream_no: number; prefix: string; counter: number; seq: number; alone: Uint8Array; crc: number };

const rows = (state: SqlDatabase): Index => ({
  add(keys) {
    const insert = state.sql("INSERT OR IGNORE INTO key_row VALUES (?, ?, ?, ?, ?, ?)");
    for (const { streamNo, key, seq, value } of keys) {
      const { prefix, counter } = countedKey(key)!;
      const row = [streamNo, prefix, counter, seq, value] as const;
      insert.run(...row, rowCrc("key_page", row));
    }
  },
  find({ streamNo, key }) {
    const { prefix, counter } = countedKey(key)!;
    const found = state
      .sql("SELECT * FROM key_row WHERE stream_no = ? AND prefix = ? AND counter = ?")
      .get<KeyRow>(streamNo, prefix, counter);
    if (found === undefined) return undefined;
    const values = Object.values(found);
    if (rowCrc("key_page", values.slice(0, -1)) !== values.at(-1)) throw new Error(`${key} is damaged`);
    return found.seq;
  },
});

/** Keys in the order of their entries. */
function keysOf(streams: number, authors: number, keysPerStream: number, isAlone: boolean): Key[][] {
  const random = seededRandom(7);
  const counters = new Map<string, number>();
  return Array.from({ length: streams }, (_, stream) =>
    Array.from({ length: keysPerStream }, (_, at): Key => {
      const author = Math.floor(random() * authors);
      const prefix = authors === 1 ? `d${stream}k2-` : `@user${author}/d${author}k2-`;
      const counter = (counters.get(`${stream}/${prefix}`) ?? 0) + 1;
      counters.set(`${stream}/${prefix}`, counter);
      const value = isAlone ? Buffer.from(`#group${stream % 7}`) : null;
      return { streamNo: stream + 1, key: `${prefix}${counter}`, seq: at + 1, value };
    }),
  );
}

function measure(make: (state: SqlDatabase) => Index, streams: readonly Key[][]): Record<string, number> {
  const dir = mkdtempSync(join(tmpdir(), "keys-"));
  const path = join(dir, "state.db");
  createDatabaseFile(path, emptyDatabase(STATE_FORMAT, "wal"));
  const state = new SqlDatabase(path, "readwrite");
  try {
    state.exec("PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -1024");
    state.exec(PLACED_SCHEMA + ROWS_SCHEMA);
    const index = make(state);
    const count = streams.reduce((sum, keys) => sum + keys.length, 0);
    const addFrom = process.cpuUsage();
    for (let at = 0; at < Math.max(...streams.map((keys) => keys.length)); at += PLACED_AT_ONCE)
      for (const keys of streams) state.within("BEGIN IMMEDIATE", () => index.add(keys.slice(at, at + PLACED_AT_ONCE)));
    const add = cpuSince(addFrom);
    const walBytes = statSync(`${path}-wal`).size;
    state.pragma("wal_checkpoint(TRUNCATE)");
    const findFrom = process.cpuUsage();
    const asked = streams.flatMap((keys) => keys.filter((_, at) => at % 7 === 0));
    for (const key of asked) if (index.find(key) !== key.seq) throw new Error(`${key.key} is not found`);
    return {
      addUs: add / count,
      walBytes: walBytes / count,
      fileBytes: statSync(path).size / count,
      findUs: cpuSince(findFrom) / asked.length,
    };
  } finally {
    state.close();
    rmSync(dir, { recursive: true });
  }
}

function cpuSince(from: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(from);
  return user + system;
}

const WORKS: [name: string, streams: number, authors: number, keysPerStream: number, isAlone: boolean][] = [
  ["one device, 100,000 keys", 1, 1, 100_000, false],
  ["the same, refs of posts", 1, 1, 100_000, true],
  ["200 users, 512 keys each", 200, 1, 512, false],
  ["a group of 60 authors", 1, 60, 50_000, false],
  ["a group of 1000 authors", 1, 1000, 50_000, false],
];

const [rounds = 5, part = 1] = process.argv.slice(2).map(Number);
for (const [name, streams, authors, keysPerStream, isAlone] of WORKS) {
  const keys = keysOf(streams, authors, Math.ceil(keysPerStream * part), isAlone);
  const found = Array.from({ length: rounds }, () => [measure(pages, keys), measure(rows, keys)]);
  process.stdout.write(`${name}\n`);
  for (const figure of ["addUs", "walBytes", "fileBytes", "findUs"]) {
    const range = (side: number): string => {
      const all = found.map((round) => round[side]![figure]!).toSorted((a, b) => a - b);
      return `${all[0]!.toFixed(1)} to ${all.at(-1)!.toFixed(1)}`;
    };
    process.stdout.write(`  ${figure.padEnd(10)} pages ${range(0).padEnd(16)} rows ${range(1)}\n`);
  }
}
