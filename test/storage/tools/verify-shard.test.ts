/** Without a manifest: what verify finds in the files of a shard, and that what it does not find hurts no reader. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDatabaseFile, emptyDatabase } from "../../../storage/files/sqlite/database-file.ts";
import { openLogStore } from "../../../storage/open-store.ts";
import { recentPath, statePath } from "../../../storage/files/sqlite/paths.ts";
import { openSegmentStore, type SegmentStoreOptions } from "../../../storage/files/sqlite-segments.ts";
import type { SegmentStore } from "../../../storage/files/segment-store.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import { STATE_FORMAT } from "../../../storage/files/placed/state-file.ts";
import { listFiles } from "../../../storage/tools/inventory.ts";
import type { Finding, VerifyReport } from "../../../storage/tools/report.ts";
import { verifyDirectory } from "../../../storage/tools/verify.ts";
import type { ShardId } from "../../../storage/types.ts";
import { beginLog } from "../log-fixture.ts";
import { ShardHistory } from "../files/history.ts";
import { ChangedRows } from "./changed-rows.ts";
import { allReads } from "./shard-reads.ts";
import { flushRound, LIGHT, MIXED, OWN } from "./shard-rounds.ts";

const SHARD = 42 as ShardId;

let place: string;
let directory: string;
beforeEach(() => {
  place = fs.mkdtempSync(join(tmpdir(), "parley-verify-"));
  directory = join(place, "data");
  fs.mkdirSync(directory);
  beginLog(directory);
});
afterEach(() => fs.rmSync(place, { recursive: true, force: true }));

const verify = (at = directory): Promise<VerifyReport> =>
  verifyDirectory(at, { companions: { constant: [], changing: [] } });
const findingsOf = async (at = directory): Promise<Finding[]> => (await verify(at)).findings;
const notesOf = async (): Promise<string[]> => (await verify()).notes.filter((note) => !note.includes("manifest"));

type Options = Partial<SegmentStoreOptions>;

async function withStore<T>(
  use: (store: SegmentStore) => Promise<T>,
  options: Options = OWN,
  at = directory,
): Promise<T> {
  const store = openSegmentStore({ dir: at, ...options });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

async function filled(rounds = 6, options: Options = OWN, at = directory, shard = SHARD): Promise<ShardHistory> {
  const history = new ShardHistory(shard);
  await withStore(
    async (store) => {
      for (let round = 0; round < rounds; round++) await flushRound(store, history, round);
    },
    options,
    at,
  );
  return history;
}

const state = (): ChangedRows => new ChangedRows(statePath(directory, SHARD));
const recent = (): ChangedRows => new ChangedRows(recentPath(directory));

describe.each([
  ["in its own files", OWN],
  ["in its own files and in recent.db", MIXED],
  ["in recent.db", LIGHT],
])("nothing is wrong with a shard %s", (_, options) => {
  test("after each flush, and all entries and streams are counted", async () => {
    const history = new ShardHistory(SHARD);
    for (let round = 0; round < 8; round++) {
      await withStore((store) => flushRound(store, history, round), options);
      const report = await verify();
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
    expect((await verify()).blocks > 5).toBe(options !== LIGHT);
  });

  test("after compacting, erasing, spilling, and further flushes", async () => {
    const history = await filled(6, options);
    const erased = [
      { stream: "@user1", fromSeq: 5, toSeq: 60 },
      { stream: "@user2", lane: "@peer2", fromSeq: 1, toSeq: 10_000 },
      { stream: "@new5", fromSeq: 1, toSeq: 1 },
    ];
    await withStore(async (store) => {
      await store.compact(SHARD);
      await flushRound(store, history, 6);
      await store.erase(SHARD, erased);
    }, options);
    expect(await findingsOf()).toEqual([]);
    await withStore(async (store) => {
      for (let round = 7; round < 12; round++) await flushRound(store, history, round);
      await store.compact(SHARD);
      await flushRound(store, history, 12);
    }, options);
    expect(await findingsOf()).toEqual([]);
    history.record([{ kind: "erase", stream: "@user0", fromSeq: 1, toSeq: 1000 }]);
    await withStore(async (store) => {
      await store.flush(history.job());
      await flushRound(store, history, 13);
      await store.spill(SHARD);
    }, options);
    expect(await findingsOf()).toEqual([]);
  });
});

describe("nothing is wrong", () => {
  test("when a crash left a state that was begun and holds nothing", async () => {
    await filled(1);
    fs.mkdirSync(join(directory, "shards/043"));
    createDatabaseFile(statePath(directory, 43 as ShardId), emptyDatabase(STATE_FORMAT, "wal"));
    expect(await findingsOf()).toEqual([]);
  });

  test("when a crash left a state that was begun, beside what recent.db has of the shard", async () => {
    const history = await filled(2, LIGHT);
    fs.mkdirSync(join(directory, "shards/042"));
    createDatabaseFile(statePath(directory, SHARD), emptyDatabase(STATE_FORMAT, "wal"));
    const report = await verify();
    expect(report.findings).toEqual([]);
    expect(report.entries).toBeGreaterThan(100);
    for (const options of [LIGHT, OWN]) {
      await withStore((store) => flushRound(store, history, history.offset), options);
      expect(await findingsOf()).toEqual([]);
    }
  });

  test("when a crash left the beginning of a file of a shard", async () => {
    await filled(2, LIGHT);
    fs.mkdirSync(join(directory, "shards/042"));
    fs.writeFileSync(join(directory, "shards/042/state.db.new"), "half");
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

  test("when a crash left layers in recent.db that the shard's own files have, too; a note says so", async () => {
    const history = await filled(3, LIGHT);
    const before = join(place, "before.db");
    fs.copyFileSync(recentPath(directory), before);
    await withStore((store) => store.spill(SHARD), LIGHT);
    expect(await notesOf()).toEqual([]);
    fs.copyFileSync(before, recentPath(directory));
    expect(await findingsOf()).toEqual([]);
    expect((await notesOf()).join()).toContain("recent.db has layers of shard 42 that shards/042/state.db has, too");
    await withStore((store) => flushRound(store, history, 3), LIGHT);
    const report = await verify();
    expect(report.findings).toEqual([]);
    const entries = [...history.streams.values()].reduce((sum, stream) => sum + stream.entries.length, 0);
    expect(report.entries).toBe(entries);
    expect(await notesOf()).toEqual([]);
  });
});

test("one shard alone is counted when it is named, and shards in recent.db are found", async () => {
  const own = await filled(2, OWN);
  const light = await filled(1, LIGHT, directory, 7 as ShardId);
  const count = (history: ShardHistory): number => history.streams.size;
  expect(await verify()).toMatchObject({ shards: 2, streams: count(own) + count(light), findings: [] });
  const only = (shard: number) =>
    verifyDirectory(directory, { companions: { constant: [], changing: [] }, shard: shard as ShardId });
  expect(await only(7)).toMatchObject({ shards: 1, streams: count(light), findings: [] });
  expect(await only(42)).toMatchObject({ shards: 1, streams: count(own), findings: [] });
  expect(await only(8)).toMatchObject({ shards: 0, streams: 0, findings: [] });
});

test.each([
  ["in its own files", OWN],
  ["in its own files and in recent.db", MIXED],
  ["in recent.db", LIGHT],
])("a flipped bit in a shard %s is found, or no reader meets it", async (_, options) => {
  const history = await filled(5, options);
  const read = (at: string): Promise<unknown> =>
    withStore(async (store) => allReads(store, SHARD, history), options, at);
  const expected = await read(directory);
  let [found, harmless] = [0, 0];
  for (const { path } of listFiles(directory)) {
    const file = join(directory, path);
    const bytes = fs.readFileSync(file);
    const step = bytes.length > 20_000 ? 1597 : 397;
    for (let at = 0, index = 0; at < bytes.length; at += at < 100 ? 7 : step, index++) {
      bytes[at]! ^= 1 << (index % 8);
      fs.writeFileSync(file, bytes);
      if ((await findingsOf()).length > 0) found++;
      else {
        harmless++;
        const copy = join(place, `copy${harmless}`);
        fs.cpSync(directory, copy, { recursive: true });
        expect(await read(copy)).toEqual(expected);
        fs.rmSync(copy, { recursive: true });
      }
      bytes[at]! ^= 1 << (index % 8);
    }
    fs.writeFileSync(file, bytes);
  }
  expect(found).toBeGreaterThan(15);
});

describe("rows that are whole but tell another story are found:", () => {
  /** Filled once, copied for each test: what they change differs, what they begin with does not. */
  const templates: Record<"own" | "light" | "mixed", string> = { own: "", light: "", mixed: "" };
  const kept = fs.mkdtempSync(join(tmpdir(), "parley-verify-kept-"));
  const template = async (name: keyof typeof templates, fill: (at: string) => Promise<unknown>): Promise<void> => {
    templates[name] = join(kept, name);
    fs.mkdirSync(templates[name]);
    beginLog(templates[name]);
    await fill(templates[name]);
    expect(await findingsOf(templates[name])).toEqual([]);
  };
  const begin = (name: keyof typeof templates): void => fs.cpSync(templates[name], directory, { recursive: true });

  beforeAll(async () => {
    await template("own", (at) => filled(6, OWN, at));
    await template("light", async (at) => {
      await filled(2, LIGHT, at);
      await filled(1, LIGHT, at, 7 as ShardId);
    });
    await template("mixed", async (at) => {
      const history = await filled(6, OWN, at);
      await withStore((store) => flushRound(store, history, 6), LIGHT, at);
    });
  });
  afterAll(() => fs.rmSync(kept, { recursive: true, force: true }));

  const cases: [string, () => void][] = [
    ["a head beyond the entries", () => state().fragment(42, "@user1", ({ reach }) => void (reach.headSeq += 1000))],
    ["a head's offset", () => state().fragment(42, "@new2", ({ reach }) => void (reach.headOffset -= 1))],
    [
      "a head beyond what was flushed",
      () => state().fragment(42, "@new2", ({ reach }) => void (reach.headOffset = 1e6)),
    ],
    ["entries that are not placed", () => state().fragment(42, "@user1", ({ reach }) => void (reach.placedSeq += 1))],
    [
      "an offset that is not placed",
      () => state().fragment(42, "@user1", ({ reach }) => void (reach.placedThrough = 5)),
    ],
    ["a stream of another name", () => state().fragment(42, "@new2", ({ reach }) => void (reach.name = "@new2x"))],
    ["a stream of another number", () => state().fragment(42, "@new2", ({ reach }) => void (reach.streamNo = 1))],
    ["a number beyond all", () => state().fragment(42, "@new2", ({ reach }) => void (reach.streamNo = 99))],
    ["an item that is gone", () => state().fragment(42, "@new2", ({ items }) => void items.pop())],
    ["an item of another seq", () => state().fragment(42, "@new2", ({ items }) => void items[0]!.seq++)],
    ["an item of before", () => state().fragment(42, "@new2", ({ items }) => void ((items[0]!.offset as number) = 0))],
    ["a layer that is not listed", () => state().stack(42, (layers) => void layers.pop())],
    ["a layer of more pages", () => state().stack(42, (layers) => void layers[0]!.pages++)],
    ["a layer of fewer bytes", () => state().stack(42, (layers) => void layers[0]!.rawBytes--)],
    ["a layer of more items", () => state().stack(42, (layers) => void layers[0]!.itemBytes++)],
    ["a layer that is not numbered", () => state().stack(42, (layers) => void (layers[0]!.layer += 100))],
    ["a page that begins elsewhere", () => state().change("page", "true", { first: "@" })],
    ["a page that reaches less far", () => state().change("page", "true", { through: 3 })],
    ["a page of another shard", () => state().change("page", "true", { shard: 41 })],
    ["names that are gone", () => state().remove("name", "true")],
    ["other names", () => state().change("name", "page = 0", { names: Buffer.from("\x02@a\x02@b") })],
    ["a tail that is gone", () => state().remove("tail", "tail = (SELECT min(tail) FROM tail)")],
    ["a run that is gone", () => state().remove("run", "last_seq = (SELECT min(last_seq) FROM run)")],
    [
      "a run in another block",
      () => state().change("run", "last_seq = (SELECT min(last_seq) FROM run)", { block: 2, segment: 2 }),
    ],
    ["a lane of another name", () => state().change("lane", "lane = 1", { name: "@somebody" })],
    ["a lane of another stream", () => state().change("lane", "lane = 1", { stream_no: 3 })],
    ["a page of keys that is gone", () => state().remove("key_page", "first = (SELECT max(first) FROM key_page)")],
    ["a key that points elsewhere", () => state().change("key_hash", "alone IS NULL", { seq: 1 })],
    ["a hash that is gone", () => state().remove("key_hash", "alone IS NULL")],
    ["a segment that is not listed", () => state().remove("segment", "segment = 1")],
    ["blocks that are not counted", () => state().change("segment", "segment = 1", { blocks: 1 })],
    [
      "a page of a timeline that is another's",
      () => state().change("timeline", "stream_no = 1 AND first_seq = -1", { page: Buffer.from([1, 1, 1, 0, 9]) }),
    ],
    ["a page of a timeline that is gone", () => state().remove("timeline", "stream_no = 1 AND first_seq = -1")],
    ["a timeline of nobody", () => state().change("timeline", "stream_no = 1", { stream_no: 77 })],
    ["another shard", () => state().change("shard", "true", { shard: 7 })],
    ["a count of streams", () => state().change("shard", "true", { streams: 1 })],
    ["an erasure that is not counted", () => state().change("shard", "true", { erasures: 1 })],
  ];

  test.each(cases)("%s", async (_, tell) => {
    begin("own");
    tell();
    expect(await findingsOf()).not.toEqual([]);
  });

  const light: [string, () => void][] = [
    ["a head beyond the entries", () => recent().fragment(42, "@user1", ({ reach }) => void (reach.headSeq += 1000))],
    ["a head's offset", () => recent().fragment(42, "@new1", ({ reach }) => void (reach.headOffset -= 1))],
    [
      "entries that are placed nowhere",
      () => recent().fragment(42, "@new1", ({ reach }) => void (reach.placedThrough = 5)),
    ],
    ["an item that is gone", () => recent().fragment(42, "@user1", ({ items }) => void items.splice(3, 1))],
    ["a stream of another number", () => recent().fragment(42, "@new1", ({ reach }) => void (reach.streamNo = 1))],
    ["a layer that is not listed", () => recent().stack(42, (layers) => void layers.pop())],
    ["a page that is gone", () => recent().remove("page", "shard = 42")],
    ["a page of a shard that has none", () => recent().change("page", "shard = 42", { shard: 41 })],
    ["a shard that is gone", () => recent().remove("shard", "shard = 42")],
    ["another shard", () => recent().change("shard", "shard = 42", { shard: 41 })],
    ["no shard at all", () => recent().change("shard", "shard = 42", { shard: 1000 })],
    ["less than its entries", () => recent().change("shard", "shard = 42", { flushed_through: 20 })],
    ["a count of streams", () => recent().change("shard", "shard = 42", { streams: 3 })],
    ["own files that are not there", () => recent().change("shard", "shard = 42", { own_through: 5 })],
  ];

  test.each(light)("in recent.db, %s", async (_, tell) => {
    begin("light");
    tell();
    const files = (await findingsOf()).map(({ file }) => file);
    expect(files.some((file) => file === "shards/recent.db" || file === "shards/042/state.db")).toBe(true);
  });

  const mixed: [string, () => void][] = [
    ["its newest entries are gone", () => recent().change("shard", "shard = 42", { layers: Buffer.from([9]) })],
    ["nothing is known of own files", () => recent().change("shard", "shard = 42", { own_through: -1 })],
    ["own files that are gone", () => fs.rmSync(join(directory, "shards/042"), { recursive: true })],
    ["a stream of another number", () => recent().fragment(42, "@user1", ({ reach }) => void (reach.streamNo = 3))],
    ["an entry that is gone between", () => recent().fragment(42, "@user1", ({ items }) => void items.shift())],
    ["a head that falls", () => recent().fragment(42, "@user1", ({ reach }) => void (reach.headSeq = 1))],
  ];

  test.each(mixed)("in recent.db on top of own files, %s", async (_, tell) => {
    begin("mixed");
    tell();
    expect(await findingsOf()).not.toEqual([]);
  });

  test("own files of another moment than recent.db, older or newer", async () => {
    const history = await filled(6, OWN);
    const older = join(place, "older");
    fs.cpSync(directory, older, { recursive: true });
    await withStore((store) => flushRound(store, history, 6), OWN);
    await withStore((store) => flushRound(store, history, 7), LIGHT);
    expect(await findingsOf()).toEqual([]);
    fs.rmSync(join(directory, "shards/042"), { recursive: true });
    fs.cpSync(join(older, "shards/042"), join(directory, "shards/042"), { recursive: true });
    expect((await findingsOf()).map(({ kind }) => kind)).toContain("disagrees");
  });

  test("a segment file of another shard", async () => {
    await filled();
    const other = join(place, "other");
    await filled(6, OWN, other, 7 as ShardId);
    const name = "segment-000001.db";
    fs.copyFileSync(join(other, "shards/007", name), join(directory, "shards/042", name));
    expect((await findingsOf()).map(({ file }) => file)).toContain(`shards/042/${name}`);
  });
});

describe("a damaged recent.db", () => {
  test("keeps nobody from looking at the shards' own files, and is the only thing that is found", async () => {
    const history = await filled(6, OWN);
    await withStore((store) => flushRound(store, history, 6), LIGHT);
    fs.truncateSync(recentPath(directory), 600);
    const report = await verify();
    expect(new Set(report.findings.map(({ file }) => file))).toEqual(new Set(["shards/recent.db"]));
    expect(report).toMatchObject({ shards: 1 });
    expect(report.entries).toBeGreaterThan(300);
  });

  test("is missed where the log has files no more that went when they were flushed", async () => {
    const fail = (error: unknown): never => {
      throw error;
    };
    const hooks = { beforeWrite() {}, onFlushFailure: fail, onFailure: fail, onListenerError: fail };
    const store = await openLogStore(
      { directory, walFileBytes: 4096 },
      { ...hooks, checkpoint: () => new Uint8Array(0) },
    );
    const log = store.shard(SHARD);
    for (let n = 0; n < 50; n++) {
      await new Promise<void>((committed, failed) => {
        const handle = new StreamHandle("@user1", log.head("@user1"));
        log.append({ encode: () => log.putCell(handle, "a", Buffer.alloc(300, `${n} `)), committed, failed });
      });
    }
    await store.flushAll(() => false);
    await store.close();
    expect(await findingsOf()).toEqual([]);
    fs.rmSync(recentPath(directory));
    expect(await findingsOf()).toMatchObject([{ kind: "missing", file: "shards/recent.db" }]);
  });

  test("of a newer version is said to be that", async () => {
    await filled(1, LIGHT);
    recent().version(2);
    expect(await findingsOf()).toMatchObject([{ kind: "newer", file: "shards/recent.db" }]);
  });
});
