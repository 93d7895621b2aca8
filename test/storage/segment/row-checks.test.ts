import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CorruptionError } from "../../../storage/errors.ts";
import { statePath } from "../../../storage/segment/paths.ts";
import { openSegmentStore } from "../../../storage/segment/segment-store.ts";
import { SqlDatabase } from "../../../storage/sqlite.ts";
import { stateTables, verifyRows } from "../../../storage/tools/verify-rows.ts";
import type { ShardId } from "../../../storage/types.ts";
import { chat, ShardHistory } from "./history.ts";

const SHARD = 4 as ShardId;
let dir: string;
let path: string;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "row-checks-"));
  path = statePath(dir, SHARD);
  await fill();
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** Something in every table but `erasure`, which a test of its own fills. */
async function fill(): Promise<ShardHistory> {
  const store = openSegmentStore({ dir, recentItemsMax: 20, runEntriesMin: 6 });
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
  await store.close();
  return history;
}

function inState<T>(look: (state: SqlDatabase) => T): T {
  const state = new SqlDatabase(path, "readwrite");
  try {
    return look(state);
  } finally {
    state.close();
  }
}

function faultsIn(state: SqlDatabase): string[] {
  const faults: string[] = [];
  verifyRows(state, (place, what) => void faults.push(`${place}: ${what}`));
  return faults;
}

test("every table has rows, and none of them a fault", () => {
  inState((state) => {
    expect(stateTables(state).length).toBe(12);
    for (const table of stateTables(state)) {
      expect([table, state.sql(`SELECT 1 FROM ${table}`).get() !== undefined]).toEqual([table, true]);
    }
    expect(faultsIn(state)).toEqual([]);
  });
});

test("a changed value in any column of any table is found, and only there", () => {
  const columns = inState((state) =>
    stateTables(state).flatMap((table) => {
      const names = state.sql(`SELECT name, pk FROM pragma_table_info('${table}')`).all<{ name: string; pk: number }>();
      return names.map(({ name }) => ({ table, name }));
    }),
  );
  expect(columns.length).toBeGreaterThan(60);
  const whole = readFileSync(path);
  for (const { table, name } of columns) {
    inState((state) => {
      const keys = state.sql(`SELECT name FROM pragma_table_info('${table}') WHERE pk > 0`).all<{ name: string }>();
      const place = keys.map((key) => key.name).join(", ");
      const where = `(${place}) = (SELECT ${place} FROM ${table} ORDER BY ${place} LIMIT 1)`;
      const changed = `CASE typeof(${name}) WHEN 'integer' THEN ${name} + 1000000007 WHEN 'text' THEN ${name} || '~' ELSE x'01' END`;
      state.exec(`UPDATE ${table} SET ${name} = ${changed} WHERE ${where}`);
      const faults = faultsIn(state);
      expect([table, name, faults.length, faults[0]?.includes(`table ${table}, row`)]).toEqual([table, name, 1, true]);
    });
    writeFileSync(path, whole);
  }
});

test("a flipped bit in what is read is refused with file, table and row", () => {
  inState((state) => state.exec("UPDATE stream SET head_seq = head_seq + 1 WHERE name = '@user1'"));
  const store = openSegmentStore({ dir });
  try {
    store.head(SHARD, "@user1");
    throw new Error("it was believed");
  } catch (error) {
    expect(error).toBeInstanceOf(CorruptionError);
    expect((error as Error).message).toMatch(
      /state\.db: checksum does not match at table stream, row \d+\/"@user1"\/681$/,
    );
  } finally {
    void store.close();
  }
});
