import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CorruptionError, FormatError } from "../../../storage/errors.ts";
import { openLogStore } from "../../../storage/open-store.ts";
import type { LogStoreHooks } from "../../../storage/store-options.ts";
import { openSegmentStore, type SegmentStoreOptions } from "../../../storage/files/sqlite-segments.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import { exportNeeds, exportShard, spillShard, type ExportedShard } from "../../../storage/tools/export-shard.ts";
import { importShard, ShardNotEmptyError } from "../../../storage/tools/import-shard.ts";
import { listFiles } from "../../../storage/tools/inventory.ts";
import { type ExportHeader, ExportWriter, readExport } from "../../../storage/tools/export-file.ts";
import { verifyDirectory } from "../../../storage/tools/verify.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { beginLog } from "../log-fixture.ts";
import { chat, ShardHistory } from "../files/history.ts";
import { allReads } from "./shard-reads.ts";

const SHARD = 42 as ShardId;
const COMPANIONS = { constant: [], changing: [] };

let place: string;
let from: string;
let to: string;
let file: string;
beforeEach(() => {
  place = fs.mkdtempSync(join(tmpdir(), "parley-export-"));
  [from, to, file] = [join(place, "from"), join(place, "to"), join(place, "shard.parley")];
  for (const directory of [from, to]) {
    fs.mkdirSync(directory);
    beginLog(directory);
  }
});
afterEach(() => fs.rmSync(place, { recursive: true, force: true }));

/** So that little is enough for segments. */
const SOON_PLACED = { runEntriesMin: 2, recentItemsMax: 0, recentBytesMax: 0 };
/** What is newest is in `recent.db`; all of it is. */
const MIXED = { ...SOON_PLACED, recentBytesMax: 30_000 };
const LIGHT = { ...SOON_PLACED, recentBytesMax: 1 << 20 };

/** Of a directory that nobody has open. */
const exportOf = (directory: string, shard: ShardId): Promise<ExportedShard | undefined> =>
  exportShard(directory, shard, file, (one) => spillShard(directory, one));

const HOOKS: LogStoreHooks = {
  checkpoint: () => new Uint8Array(0),
  beforeWrite() {},
  onFlushFailure() {},
  onFailure() {},
  onListenerError() {},
};

/** One record, durable when it resolves. */
function write(log: ShardLog, put: (log: ShardLog) => void): Promise<void> {
  return new Promise((committed, failed) => {
    log.append({ encode: () => put(log), committed, failed });
  });
}

/** Several segments, lanes, keys, cells. */
async function filled(rounds = 4, options: Partial<SegmentStoreOptions> = SOON_PLACED): Promise<ShardHistory> {
  const store = openSegmentStore({ dir: from, segmentBytesMax: 3000, blockBytesMax: 4096, ...options });
  const history = new ShardHistory(SHARD);
  for (let round = 0; round < rounds; round++) {
    chat(history, 150, 5);
    history.record([{ kind: "key", stream: "@user1", key: `elsewhere-${round}`, seq: round + 9, value: "#team" }]);
    await store.flush(history.job([{ stream: "@user2", key: "head", value: `round ${round}` }]));
  }
  await store.close();
  return history;
}

async function readsOf(directory: string, history: ShardHistory): Promise<unknown> {
  const store = openSegmentStore({ dir: directory });
  try {
    return allReads(store, SHARD, history);
  } finally {
    await store.close();
  }
}

test("an imported shard answers every read as the exported one did, and verify finds nothing wrong with it", async () => {
  const history = await filled();
  const exported = await exportOf(from, SHARD);
  const imported = await importShard(to, file);
  expect(imported).toEqual(exported!);
  expect(imported).toMatchObject({
    shard: SHARD,
    term: 1,
    flushedThrough: history.offset,
    streams: history.streams.size,
  });
  expect(imported.files).toBeGreaterThan(3);
  expect(await readsOf(to, history)).toEqual(await readsOf(from, history));
  const { findings, notes } = await verifyDirectory(to, { companions: COMPANIONS });
  expect(findings).toEqual([]);
  expect(notes.filter((note) => !note.includes("manifest"))).toEqual([]);
});

test.each([
  ["with its newest entries in recent.db", MIXED],
  ["that is in recent.db alone", LIGHT],
])("a shard %s is exported whole, and reads the same where it was and where it comes to", async (_, options) => {
  const history = await filled(3, options);
  const before = await readsOf(from, history);
  expect(exportNeeds(from, SHARD)).toEqual({ isSpilled: false, unflushed: 0 });
  const exported = await exportOf(from, SHARD);
  expect(exported!.flushedThrough).toBe(history.offset);
  expect(exportNeeds(from, SHARD)).toEqual({ isSpilled: true, unflushed: 0 });
  await importShard(to, file);
  for (const directory of [from, to]) {
    expect((await verifyDirectory(directory, { companions: COMPANIONS })).findings).toEqual([]);
    expect(await readsOf(directory, history)).toEqual(before);
  }
});

test("a shard that is spilled is exported without a change to its directory", async () => {
  await filled(2);
  const before = listFiles(from);
  await exportOf(from, SHARD);
  expect(listFiles(from)).toEqual(before);
});

test.each([
  ["its own files", SOON_PLACED],
  ["recent.db", LIGHT],
])("an imported shard takes further flushes into %s", async (_, options) => {
  const history = await filled(2);
  await exportOf(from, SHARD);
  await importShard(to, file);
  chat(history, 80, 5);
  const job = history.job();
  for (const directory of [from, to]) {
    const store = openSegmentStore({ dir: directory, segmentBytesMax: 16_000, ...options });
    await store.flush(job);
    await store.close();
    expect((await verifyDirectory(directory, { companions: COMPANIONS })).findings).toEqual([]);
  }
  expect(await readsOf(to, history)).toEqual(await readsOf(from, history));
});

test("a shard is exported beside an open store that goes on writing, as of one flush", async () => {
  const history = await filled(2);
  const before = await readsOf(from, history);
  const store = openSegmentStore({ dir: from, segmentBytesMax: 16_000, ...SOON_PLACED });
  expect(allReads(store, SHARD, history)).toEqual(before);
  chat(history, 50, 5);
  await store.flush(history.job());
  const [exported] = await Promise.all([
    exportShard(from, SHARD, file, (shard) => store.spill(shard)),
    store.flush((chat(history, 50, 5), history.job())),
  ]);
  await store.close();
  // The flush was asked for after the spilling, and is there or not when the state is copied.
  expect([history.offset - 50, history.offset as number]).toContain(exported!.flushedThrough);
  await importShard(to, file);
  expect((await verifyDirectory(to, { companions: COMPANIONS })).findings).toEqual([]);
});

test("a shard without data is not exported", async () => {
  expect(await exportOf(from, 7 as ShardId)).toBeUndefined();
  expect(fs.existsSync(file)).toBe(false);
});

describe("the file", () => {
  const read = (): unknown => readExport(file, { header() {}, file() {}, bytes() {} });

  test("one flipped bit anywhere in it is found, and nothing is imported", async () => {
    await filled(1);
    await exportOf(from, SHARD);
    const bytes = fs.readFileSync(file);
    const places = [
      ...Array.from({ length: 400 }, (_, at) => at),
      ...Array.from({ length: 400 }, (_, at) => bytes.length - 1 - at),
    ];
    for (let at = 400; at < bytes.length - 400; at += 997) places.push(at);
    for (const at of places) {
      bytes[at]! ^= 1 << (at % 8);
      fs.writeFileSync(file, bytes);
      expect(read).toThrow(CorruptionError);
      if (at % 100 === 0) await expect(importShard(to, file)).rejects.toThrow(CorruptionError);
      bytes[at]! ^= 1 << (at % 8);
    }
    expect(listFiles(to).filter(({ path, kind }) => kind === "file" && !path.startsWith("wal/"))).toEqual([]);
  });

  test("a file that is cut short anywhere, or longer, is refused", async () => {
    await filled(1);
    await exportOf(from, SHARD);
    const bytes = fs.readFileSync(file);
    for (const length of [
      0,
      5,
      11,
      12,
      20,
      60,
      bytes.length >> 1,
      bytes.length - 60,
      bytes.length - 1,
      bytes.length + 1,
    ]) {
      fs.writeFileSync(file, Buffer.concat([bytes, Buffer.alloc(1)]).subarray(0, length));
      expect(read).toThrow(CorruptionError);
    }
  });

  test("a newer format is refused by its name", async () => {
    await filled(1);
    await exportOf(from, SHARD);
    const bytes = fs.readFileSync(file);
    // A newer version writes its own checksums.
    bytes.writeUInt32LE(9, 8);
    const length = bytes.readUInt32LE(13);
    const crc = Bun.hash.crc32(
      bytes.subarray(21, 21 + length),
      Bun.hash.crc32(bytes.subarray(12, 17), Bun.hash.crc32(bytes.subarray(0, 12))),
    );
    bytes.writeUInt32LE(crc, 17);
    fs.writeFileSync(file, bytes);
    expect(read).toThrow(FormatError);
  });
});

test.each(["null", '"shard 42"', "{", ""])(
  "a file whose head has the right checksum and says %p is damaged, and nothing is imported",
  async (head) => {
    await filled(1);
    await exportOf(from, SHARD);
    const bytes = fs.readFileSync(file);
    const data = bytes.subarray(21, 21 + bytes.readUInt32LE(13));
    data.fill(" ").write(head);
    bytes.writeUInt32LE(
      Bun.hash.crc32(data, Bun.hash.crc32(bytes.subarray(12, 17), Bun.hash.crc32(bytes.subarray(0, 12)))),
      17,
    );
    fs.writeFileSync(file, bytes);
    await expect(importShard(to, file)).rejects.toThrow(CorruptionError);
    expect(fs.existsSync(join(to, "shards"))).toBe(false);
  },
);

/** The same export with its checksums right, but another header, or one segment twice. */
function writeAnother(header: Partial<ExportHeader>, extra?: string): void {
  const unpacked = join(place, "unpacked");
  fs.mkdirSync(unpacked);
  const names: string[] = [];
  let found: ExportHeader | undefined;
  readExport(file, {
    header: (told) => (found = told),
    file: (name) => void names.push(name),
    bytes: (piece) => fs.appendFileSync(join(unpacked, names.at(-1)!), piece),
  });
  const out = fs.openSync(file, "w");
  const writer = new ExportWriter(out, { ...found!, ...header });
  for (const name of names) writer.add(name, join(unpacked, name), () => {});
  if (extra !== undefined) writer.add(extra, join(unpacked, names.at(-1)!), () => {});
  writer.end();
  fs.closeSync(out);
}

describe("an import is refused, and nothing of it is left,", () => {
  test.each([
    ["where a segment comes along that the state does not list", {}, "segment-000099.db", "state.db does not list it"],
    ["where the header counts other streams than the state", { streams: 7 }, undefined, "its state says otherwise"],
    ["where the header says another term", { term: 5 }, undefined, "its state says otherwise"],
  ])("%s", async (_, header, extra, what) => {
    await filled(2);
    await exportOf(from, SHARD);
    writeAnother(header, extra);
    await expect(importShard(to, file)).rejects.toThrow(what);
    expect(fs.readdirSync(join(to, "shards"))).toEqual([]);
  });
});

describe("importing", () => {
  test("is refused where the shard has files, or is in recent.db, or has records in the log", async () => {
    await filled(1);
    await exportOf(from, SHARD);
    await importShard(to, file);
    const before = listFiles(to);
    await expect(importShard(to, file)).rejects.toThrow(ShardNotEmptyError);
    expect(listFiles(to)).toEqual(before);

    fs.rmSync(join(from, "shards"), { recursive: true });
    await filled(1, LIGHT);
    const light = listFiles(from);
    await expect(importShard(from, file)).rejects.toThrow(/recent\.db knows it/);
    expect(listFiles(from)).toEqual(light);

    const logged = join(place, "logged");
    const store = await openLogStore({ directory: logged }, HOOKS);
    await write(store.shard(SHARD), (log) => log.putCell(new StreamHandle("@user1", undefined), "a", Buffer.from("b")));
    await store.close();
    await expect(importShard(logged, file)).rejects.toThrow("the log has records of it");
  });

  test.each([
    ["its own files", SOON_PLACED],
    ["recent.db", LIGHT],
  ])("a server opens the shard and goes on writing: first to the log, then to %s", async (_, options) => {
    const history = await filled(3, MIXED);
    await exportOf(from, SHARD);
    await importShard(to, file);
    const head = history.streams.get("@user1")!.headSeq;
    for (let round = 1; round <= 4; round++) {
      const segments = openSegmentStore({ dir: to, ...options });
      const store = await openLogStore({ directory: to, segments }, HOOKS);
      const log = store.shard(SHARD);
      expect(log.durableThrough as number).toBe(history.offset + round - 1);
      await write(log, () => {
        const payload = Buffer.from(`after the import, ${round}`);
        const handle = new StreamHandle("@user1", log.head("@user1"));
        log.beginEntry(handle, "@peer1", `after-${round}`, (head + round) as Seq, payload.length);
        log.writer.raw(payload);
        log.endEntry();
      });
      // What the first stop leaves to the log, the second flushes.
      if (round > 1) await store.flushAll(() => false);
      const found = log.readForward("@user1", head, 10).map(({ payload }) => Buffer.from(payload).toString());
      expect(found).toEqual(Array.from({ length: round }, (__, at) => `after the import, ${at + 1}`));
      expect(log.readForward("@user1", 0 as Seq, 10_000).length).toBe(head + round);
      await store.close();
      const report = await verifyDirectory(to, { companions: COMPANIONS });
      expect(report.findings).toEqual([]);
    }
  });

  test("that is killed anywhere leaves all of the shard or nothing, and can be done again", async () => {
    const history = await filled(2);
    const expected = await readsOf(from, history);
    await exportOf(from, SHARD);
    const program = join(import.meta.dir, "killed-import.ts");
    let killed = 0;
    for (let step = 0; ; step++) {
      const child = Bun.spawn([process.execPath, program, to, file, String(step)], {
        stdout: "ignore",
        stderr: "ignore",
      });
      const status = await child.exited;
      const isThere = fs.existsSync(join(to, "shards/042"));
      expect(isThere).toBe(status === 0);
      expect((await verifyDirectory(to, { companions: COMPANIONS })).findings).toEqual([]);
      if (status === 0) break;
      killed++;
    }
    expect(killed).toBeGreaterThan(1);
    expect(await readsOf(to, history)).toEqual(expected);
    expect(fs.readdirSync(join(to, "shards"))).toEqual(["042"]);
  });

  test("a file whose parts are whole but are no shard is refused, and nothing is left", async () => {
    await filled(1);
    const state = join(from, "shards/042/state.db");
    fs.renameSync(join(from, "shards/042/segment-000001.db"), join(place, "aside.db"));
    await expect(exportOf(from, SHARD)).rejects.toThrow(CorruptionError);
    fs.copyFileSync(state, join(from, "shards/042/segment-000001.db"));
    await exportOf(from, SHARD);
    await expect(importShard(to, file)).rejects.toThrow(CorruptionError);
    expect(listFiles(to).filter(({ path, kind }) => kind === "file" && !path.startsWith("wal/"))).toEqual([]);
  });
});
