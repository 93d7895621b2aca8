import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CorruptionError } from "../../../storage/errors.ts";
import { recentPath, statePath } from "../../../storage/files/sqlite/paths.ts";
import { openSegmentStore } from "../../../storage/files/sqlite-segments.ts";
import { SqlDatabase } from "../../../storage/files/sqlite/database.ts";
import type { Table } from "../../../storage/files/sqlite/row-crc.ts";
import { RECENT_TABLES, stateTables, verifyRows } from "../../../storage/tools/verify-rows.ts";
import type { ShardId } from "../../../storage/types.ts";
import { chat, ShardHistory } from "./history.ts";

const SHARD = 4 as ShardId;
const LIGHT = 5 as ShardId;
let dir: string;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "row-checks-"));
  await fill();
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** Something in every table: one shard with all of it in its own files, one in `recent.db`. */
async function fill(): Promise<void> {
  const store = openSegmentStore({ dir, recentItemsMax: 20, runEntriesMin: 6, recentBytesMax: 10_000 });
  const history = new ShardHistory(SHARD);
  for (let i = 0; i < 40; i++) {
    chat(history, 30, 3);
    for (let k = 0; k < 7; k++) {
      const [lane, key] = [`@random${(i * k) % 7}`, `no-counter-${i}-${k}x`];
      history.record([{ kind: "entry", stream: "@user1", lane, key, payload: `payload ${i} ${k}` }]);
    }
    history.record([{ kind: "cell", stream: "@user1", key: `name${i}`, value: `value ${i}` }]);
    await store.flush(history.job());
  }
  history.record([{ kind: "erase", stream: "@user1", lane: "@random1", fromSeq: 1, toSeq: 400 }]);
  await store.flush(history.job());
  const light = new ShardHistory(LIGHT);
  chat(light, 30, 3);
  await store.flush(light.job());
  await store.close();
}

function within<T>(path: string, look: (db: SqlDatabase) => T): T {
  const db = new SqlDatabase(path, "readwrite");
  try {
    return look(db);
  } finally {
    db.close();
  }
}

const files = [
  { name: "state.db", path: () => statePath(dir, SHARD), tables: stateTables, count: 11, columns: 60 },
  { name: "recent.db", path: () => recentPath(dir), tables: () => RECENT_TABLES, count: 2, columns: 14 },
];

function faultsIn(db: SqlDatabase, tables: readonly Table[]): string[] {
  const faults: string[] = [];
  verifyRows(db, tables, (place, what) => void faults.push(`${place}: ${what}`));
  return faults;
}

describe.each(files)("$name", ({ path, tables, count, columns: columnCount }) => {
  const inFile = <T>(look: (db: SqlDatabase, of: readonly Table[]) => T): T =>
    within(path(), (db) => look(db, tables(db)));

  test("every table has rows, and none of them a fault", () => {
    inFile((db, of) => {
      expect(of.length).toBe(count);
      const known = db.sql("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all<{ name: string }>();
      expect(known.map(({ name }) => name)).toEqual([...of].sort());
      for (const table of of) {
        expect([table, db.sql(`SELECT 1 FROM ${table}`).get() !== undefined]).toEqual([table, true]);
      }
      expect(faultsIn(db, of)).toEqual([]);
    });
  });

  test("a changed value in any column of any table is found, and only there", () => {
    const columns = inFile((db, of) =>
      of.flatMap((table) => {
        const names = db.sql(`SELECT name FROM pragma_table_info('${table}')`).all<{ name: string }>();
        return names.map(({ name }) => ({ table, name }));
      }),
    );
    expect(columns.length).toBeGreaterThan(columnCount);
    const whole = readFileSync(path());
    for (const { table, name } of columns) {
      inFile((db, of) => {
        const keys = db.sql(`SELECT name FROM pragma_table_info('${table}') WHERE pk > 0`).all<{ name: string }>();
        const place = keys.map((key) => key.name).join(", ");
        const where = `(${place}) = (SELECT ${place} FROM ${table} ORDER BY ${place} LIMIT 1)`;
        const changed = `CASE typeof(${name}) WHEN 'integer' THEN ${name} + 1000000007 WHEN 'text' THEN ${name} || '~' ELSE x'01' END`;
        db.exec(`UPDATE ${table} SET ${name} = ${changed} WHERE ${where}`);
        const faults = faultsIn(db, of);
        expect([table, name, faults.length, faults[0]?.includes(`table ${table}, row`)]).toEqual([
          table,
          name,
          1,
          true,
        ]);
      });
      writeFileSync(path(), whole);
    }
  });
});

test.each([
  ["state.db", SHARD, statePath, "page", /state\.db: checksum does not match at table page, row 4\/\d+\/"@user0"$/],
  ["state.db", SHARD, statePath, "shard", /state\.db: checksum does not match at table shard, row 4\/\d+\/1521$/],
  ["recent.db", LIGHT, recentPath, "page", /recent\.db: checksum does not match at table page, row 5\/1\/"@user0"$/],
  ["recent.db", LIGHT, recentPath, "shard", /recent\.db: checksum does not match at table shard, row 5\/30\//],
] as const)(
  "a changed row of %s in what is read is refused with file, table and row",
  (_, shard, pathOf, table, text) => {
    const change = table === "page" ? "through = through + 1" : "term = term + 1";
    within(pathOf(dir, shard), (db) => db.exec(`UPDATE ${table} SET ${change}`));
    const store = openSegmentStore({ dir });
    try {
      store.head(shard, "@user1");
      throw new Error("it was believed");
    } catch (error) {
      expect(error).toBeInstanceOf(CorruptionError);
      expect((error as Error).message).toMatch(text);
    } finally {
      void store.close();
    }
  },
);

test.each([70_000, -3])(
  "a row of a shard that cannot be told any more, now number %d, is damage of recent.db and of no shard",
  async (number) => {
    within(recentPath(dir), (db) =>
      db.sql("UPDATE shard SET shard = ?, term = term + 8 WHERE shard = ?").run(number, LIGHT),
    );
    const store = openSegmentStore({ dir });
    const told: ShardId[] = [];
    expect(() => store.begin(false, (shard) => void told.push(shard))).toThrow(CorruptionError);
    expect(told).toEqual([]);
    await store.close();
  },
);
