/** Without a manifest: what verify finds in the files of a shard, and that what it does not find hurts no reader. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDatabaseFile, emptyDatabase } from "../../../storage/segment/database-file.ts";
import { openSegmentStore, type SegmentStoreOptions } from "../../../storage/segment/segment-store.ts";
import type { SegmentStore } from "../../../storage/segment/types.ts";
import { SqlDatabase, type SqlValue } from "../../../storage/sqlite.ts";
import { rowCrc, type Table } from "../../../storage/state/row-crc.ts";
import { STATE_FORMAT } from "../../../storage/state/state-file.ts";
import type { Finding } from "../../../storage/tools/report.ts";
import { verifyDirectory } from "../../../storage/tools/verify.ts";
import type { ShardId } from "../../../storage/types.ts";
import { chat, ShardHistory } from "../segment/history.ts";
import { allReads } from "./shard-reads.ts";

const SHARD = 42 as ShardId;
const SMALL: Partial<SegmentStoreOptions> = {
  segmentBytesMax: 8000,
  blockBytesMax: 2048,
  recentItemsMax: 20,
  runEntriesMin: 6,
};
setDefaultTimeout(60_000);

let place: string;
let directory: string;
beforeEach(() => {
  place = fs.mkdtempSync(join(tmpdir(), "parley-verify-"));
  directory = join(place, "data");
  fs.mkdirSync(directory);
});
afterEach(() => fs.rmSync(place, { recursive: true, force: true }));

const findingsOf = async (at = directory): Promise<Finding[]> =>
  (await verifyDirectory(at, { companions: { constant: [], changing: [] } })).findings;

const open = (at = directory): SegmentStore => openSegmentStore({ dir: at, ...SMALL });

async function withStore<T>(use: (store: SegmentStore) => Promise<T>, at = directory): Promise<T> {
  const store = open(at);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** Runs, tails, recent items, keys of each kind, keys alone, cells. */
async function flushRound(store: SegmentStore, history: ShardHistory, round: number): Promise<void> {
  chat(history, 60, 4);
  for (const key of [`any-key-${round}x`, "seldom", `high-${round * 1000}`]) {
    history.record([{ kind: "entry", stream: "@user1", lane: "@peer1", key, payload: `${round}` }]);
  }
  history.record([{ kind: "entry", stream: "@user0", lane: `@rare${round}`, key: "", payload: "a tail of one" }]);
  history.record([{ kind: "entry", stream: `@new${round}`, lane: "@user1", key: "", payload: "recent for long" }]);
  history.record([{ kind: "key", stream: "@user2", key: `g${round}-${round}`, seq: round + 3, value: "#team" }]);
  history.record([{ kind: "cell", stream: "@user3", key: `cell${round % 3}`, value: `v${round}` }]);
  await store.flush(history.job([{ stream: "#quiet", key: "head", value: String(round) }]));
}

async function filled(rounds = 6): Promise<ShardHistory> {
  const history = new ShardHistory(SHARD);
  await withStore(async (store) => {
    for (let round = 0; round < rounds; round++) await flushRound(store, history, round);
  });
  return history;
}

const stateFile = (): string => join(directory, "shards/042/state.db");

describe("nothing is wrong", () => {
  test("after each flush, and all entries and streams are counted", async () => {
    const history = new ShardHistory(SHARD);
    for (let round = 0; round < 8; round++) {
      await withStore((store) => flushRound(store, history, round));
      const report = await verifyDirectory(directory, { companions: { constant: [], changing: [] } });
      expect(report.findings).toEqual([]);
      const streams = [...history.streams.values()];
      expect(report).toMatchObject({
        shards: 1,
        streams: streams.length,
        entries: streams.reduce((sum, { entries }) => sum + entries.length, 0),
        keys: streams.reduce((sum, { keys }) => sum + keys.size, 0),
        cells: streams.reduce((sum, { cells }) => sum + cells.size, 0),
      });
    }
    expect((await verifyDirectory(directory, { companions: { constant: [], changing: [] } })).blocks).toBeGreaterThan(
      5,
    );
  });

  test("after compacting, erasing, and further flushes", async () => {
    const history = await filled();
    await withStore(async (store) => {
      await store.compact(SHARD);
      await flushRound(store, history, 6);
      await store.erase(SHARD, [
        { stream: "@user1", fromSeq: 5, toSeq: 60 },
        { stream: "@user2", lane: "@peer2", fromSeq: 1, toSeq: 10_000 },
      ]);
    });
    expect(await findingsOf()).toEqual([]);
    await withStore(async (store) => {
      for (let round = 7; round < 12; round++) await flushRound(store, history, round);
      await store.compact(SHARD);
    });
    expect(await findingsOf()).toEqual([]);
  });

  test("when a crash left a state that was begun and holds nothing", async () => {
    await filled(1);
    fs.mkdirSync(join(directory, "shards/043"));
    createDatabaseFile(join(directory, "shards/043/state.db"), emptyDatabase(STATE_FORMAT, "wal"));
    expect(await findingsOf()).toEqual([]);
  });

  test("when a crash left the first file of a shard before it had its name", async () => {
    fs.mkdirSync(join(directory, "shards/042"), { recursive: true });
    fs.writeFileSync(join(directory, "shards/042/state.db.new"), Buffer.alloc(700));
    expect(await findingsOf()).toEqual([]);
  });

  test("beside a marker that entries are still to be erased", async () => {
    await filled(1);
    fs.writeFileSync(join(directory, "shards/erasing-042"), "");
    expect(await findingsOf()).toEqual([]);
  });
});

test("a flipped bit is found, or no reader meets it", async () => {
  const history = await filled();
  const expected = await withStore(async (store) => allReads(store, SHARD, history));
  let found = 0;
  let harmless = 0;
  for (const name of fs.readdirSync(join(directory, "shards/042"))) {
    const file = join(directory, "shards/042", name);
    const bytes = fs.readFileSync(file);
    for (let at = 0, index = 0; at < bytes.length; at += at < 100 ? 7 : 797, index++) {
      bytes[at]! ^= 1 << (index % 8);
      fs.writeFileSync(file, bytes);
      if ((await findingsOf()).length > 0) found++;
      else {
        harmless++;
        const copy = join(place, `copy${harmless}`);
        fs.cpSync(directory, copy, { recursive: true });
        expect(await withStore(async (store) => allReads(store, SHARD, history), copy)).toEqual(expected);
      }
      bytes[at]! ^= 1 << (index % 8);
    }
    fs.writeFileSync(file, bytes);
  }
  expect(found).toBeGreaterThan(harmless);
});

describe("rows that are whole but tell another story are found:", () => {
  /** Changes rows of the state, checksums and all. */
  function change(table: Table, where: string, columns: Record<string, SqlValue>): void {
    const db = new SqlDatabase(stateFile(), "readwrite");
    const rows = db.sql(`SELECT * FROM ${table} WHERE ${where}`).all<Record<string, SqlValue>>();
    expect(rows.length).toBeGreaterThan(0);
    db.sql(`DELETE FROM ${table} WHERE ${where}`).run();
    for (const row of rows) {
      const values = Object.values({ ...row, ...columns }).slice(0, -1);
      db.sql(`INSERT INTO ${table} VALUES (${[...values, 0].map(() => "?").join()})`).run(
        ...values,
        rowCrc(table, values),
      );
    }
    db.close();
  }
  const remove = (table: Table, where: string): void => {
    const db = new SqlDatabase(stateFile(), "readwrite");
    expect(db.sql(`DELETE FROM ${table} WHERE ${where}`).run()).toBeGreaterThan(0);
    db.close();
  };

  const cases: [string, () => void][] = [
    ["a head beyond the entries", () => change("stream", "stream_no = 2", { head_seq: 1000 })],
    ["a head's offset", () => change("stream", "stream_no = 2", { head_offset: 3 })],
    ["a stream that is gone", () => remove("stream", "stream_no = 2")],
    [
      "a number of recent items",
      () => change("stream", "stream_no = (SELECT min(recent) / 64 FROM recent)", { items: 999 }),
    ],
    ["a chunk of recent items that is gone", () => remove("recent", "recent = (SELECT min(recent) FROM recent)")],
    ["a tail that is gone", () => remove("tail", "tail = (SELECT min(tail) FROM tail)")],
    ["a run that is gone", () => remove("run", "last_seq = (SELECT min(last_seq) FROM run)")],
    [
      "a run in another block",
      () => change("run", "last_seq = (SELECT min(last_seq) FROM run)", { block: 2, segment: 2 }),
    ],
    ["a lane of another name", () => change("lane", "lane = 1", { name: "@somebody" })],
    ["a lane of another stream", () => change("lane", "lane = 1", { stream_no: 3 })],
    ["a page of keys that is gone", () => remove("key_page", "first = (SELECT max(first) FROM key_page)")],
    ["a key that points elsewhere", () => change("key_hash", "alone IS NULL", { seq: 1 })],
    ["a hash that is gone", () => remove("key_hash", "alone IS NULL")],
    ["a segment that is not listed", () => remove("segment", "segment = 1")],
    ["blocks that are not counted", () => change("segment", "segment = 1", { blocks: 1 })],
    [
      "a page of a timeline that is another's",
      () => change("stream", "stream_no = 1", { page: Buffer.from([1, 1, 1, 9]) }),
    ],
    ["another shard", () => change("shard", "true", { shard: 7 })],
    ["a count of streams", () => change("shard", "true", { streams: 1 })],
    ["cells of no stream", () => change("cell", "stream_no = (SELECT min(stream_no) FROM cell)", { stream_no: 99 })],
    ["an erasure that is not counted", () => change("shard", "true", { erasures: 1 })],
  ];

  test.each(cases)("%s", async (_, tell) => {
    await filled();
    tell();
    expect(await findingsOf()).not.toEqual([]);
  });

  test("a segment file of another shard", async () => {
    await filled();
    const other = join(place, "other");
    fs.mkdirSync(other);
    await withStore(async (store) => {
      const history = new ShardHistory(7);
      for (let round = 0; round < 6; round++) await flushRound(store, history, round);
    }, other);
    const name = "segment-000001.db";
    fs.copyFileSync(join(other, "shards/007", name), join(directory, "shards/042", name));
    expect((await findingsOf()).map(({ file }) => file)).toContain(`shards/042/${name}`);
  });
});
