import { afterEach, beforeEach, expect, test } from "bun:test";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { CODEC_LZ4, CODEC_ZSTD } from "../../../storage/encoding/packing.ts";
import {
  erasingPath,
  recentPath,
  segmentPath,
  shardDirectory,
  statePath,
} from "../../../storage/files/sqlite/paths.ts";
import { openSegmentStore, type SegmentStoreOptions } from "../../../storage/files/sqlite-segments.ts";
import type { RewriteSteps } from "../../../storage/files/flush/shard-rewrites.ts";
import { ShardWriter } from "../../../storage/files/flush/shard-writer.ts";
import type { SegmentStore } from "../../../storage/files/segment-store.ts";
import { SqlDatabase } from "../../../storage/files/sqlite/database.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { chat, ShardHistory } from "./history.ts";
import { filesWith } from "./stored-bytes.ts";

const SHARD = 3 as ShardId;
const WRITER = {
  segmentBytesMax: 6000,
  blockBytesMax: 2000,
  walBytesMax: 1 << 20,
  runEntriesMin: 8,
  recentItemsMax: 4,
  layerBytesMax: 1 << 20,
  recentBytesMax: 0,
  packing: { codec: CODEC_LZ4 },
  blockPacking: { codec: CODEC_LZ4 },
} as const;

let dir: string;
let open: SegmentStore[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "erasure-"));
  open = [];
});

afterEach(async () => {
  for (const store of open) await store.close();
  rmSync(dir, { recursive: true, force: true });
});

function start(options: Partial<SegmentStoreOptions> = {}): SegmentStore {
  const { packing: _, blockPacking: __, ...sizes } = WRITER;
  const store = openSegmentStore({ dir, ...sizes, ...options });
  open.push(store);
  return store;
}

/** What no packing hides: bytes of no pattern, that must stand in a file as they are. */
const SECRET = Buffer.from(crypto.getRandomValues(new Uint8Array(60)))
  .toString("hex")
  .slice(0, 100);

/** Talk, with a secret in each lane that is in segments by the end, and one in a tail. Keys of both kinds. */
function talk(history: ShardHistory, round: number): void {
  chat(history, 60, 2);
  for (const lane of ["@bob", "@eve"]) {
    for (let i = 0; i < 3; i++) {
      const key = i === 0 ? "" : i === 1 ? `s-${history.offset}` : `secret-key-${round}-${lane}`;
      history.record([{ kind: "entry", stream: "@alice", lane, key, payload: `${SECRET} ${lane} ${round}.${i}` }]);
    }
  }
}

async function filled(store: SegmentStore, rounds = 6): Promise<ShardHistory> {
  const history = new ShardHistory(SHARD);
  for (let round = 0; round < rounds; round++) {
    talk(history, round);
    await store.flush(history.job());
  }
  return history;
}

function expectSame(store: SegmentStore, history: ShardHistory): void {
  for (const { name, entries, keys, erasedKeys } of history.streams.values()) {
    const found = store.readForward(SHARD, name, 0 as Seq, 100_000);
    expect(found.map((entry) => ({ ...entry, payload: Buffer.from(entry.payload).toString() }))).toEqual(entries);
    for (const [key, hit] of keys) expect([key, store.findKey(SHARD, name, key)?.seq]).toEqual([key, hit.seq]);
    for (const key of erasedKeys) expect([key, store.findKey(SHARD, name, key)]).toEqual([key, undefined]);
  }
}

const BOB = { stream: "@alice", lane: "@bob", fromSeq: 1, toSeq: 1_000_000 };
const secretOf = (lane: string): Buffer => Buffer.from(`${SECRET} ${lane}`);

for (const packing of [{ codec: CODEC_LZ4 }, { codec: CODEC_ZSTD, level: 3 }] as const) {
  test(`erased payloads and keys are in no file afterwards, packed with codec ${packing.codec}`, async () => {
    const store = start({ packing });
    const history = await filled(store);
    expect(filesWith(dir, secretOf("@bob")).length).toBeGreaterThan(1);
    expect(filesWith(dir, Buffer.from("secret-key-4-@bob")).length).toBeGreaterThan(0);
    const files = readdirSync(shardDirectory(dir, SHARD)).length;
    history.erase(BOB);
    await store.erase(SHARD, [BOB]);
    expect(filesWith(dir, secretOf("@bob"))).toEqual([]);
    for (let round = 0; round < 6; round++) expect(filesWith(dir, Buffer.from(`secret-key-${round}-@bob`))).toEqual([]);
    expect(filesWith(dir, secretOf("@eve")).length).toBeGreaterThan(0);
    expect(readdirSync(shardDirectory(dir, SHARD)).length).toBeLessThanOrEqual(files);
    expect(store.pendingErasures()).toEqual([]);
    expect(existsSync(erasingPath(dir, SHARD))).toBe(false);
    expectSame(store, history);
    await store.close();
    expectSame(start(), history);
  });
}

test("erasing a whole stream leaves its tombstones, dense, and the other streams", async () => {
  const store = start();
  const history = await filled(store);
  const range = { stream: "@alice", fromSeq: 4, toSeq: 18 };
  history.erase(range);
  await store.erase(SHARD, [range]);
  expectSame(store, history);
  const found = store.readForward(SHARD, "@alice", 0 as Seq, 36);
  expect(found.map((entry) => entry.seq as number)).toEqual(Array.from({ length: 36 }, (_, i) => i + 1));
  expect(found.filter((entry) => entry.payload.length === 0).length).toBe(15);
});

test("an erasure that comes with a flush is seen at once, and gone from the files when it was finished", async () => {
  const store = start();
  const history = await filled(store);
  const text = `said and taken back ${SECRET}`;
  history.record([{ kind: "entry", stream: "@alice", lane: "@bob", key: "back-1", payload: text }]);
  history.record([{ kind: "erase", ...BOB }]);
  await store.flush(history.job());
  expect(filesWith(dir, Buffer.from(text))).toEqual([]);
  expectSame(store, history);
  expect(filesWith(dir, secretOf("@bob")).length).toBeGreaterThan(0);
  await store.close();
  const again = start();
  expect(again.pendingErasures()).toEqual([SHARD]);
  await again.erase(SHARD, []);
  expect(filesWith(dir, secretOf("@bob"))).toEqual([]);
  expectSame(again, history);
});

test("what was placed since is erased from the large layer that it came with, too", async () => {
  const store = start({ recentItemsMax: 20 });
  const history = await filled(store, 1);
  chat(history, 1000, 200);
  const say = (payload: string): void =>
    history.record([{ kind: "entry", stream: "@carol", lane: "@bob", key: "", payload }]);
  say(`said once ${SECRET}`);
  await store.flush(history.job());
  for (let i = 0; i < 25; i++) say("and more");
  await store.flush(history.job());
  const range = { stream: "@carol", fromSeq: 1, toSeq: 1 };
  history.erase(range);
  await store.erase(SHARD, [range]);
  expect(filesWith(dir, Buffer.from(`said once ${SECRET}`))).toEqual([]);
  expectSame(store, history);
});

/** A segment that has a flush which `state.db` knows nothing of: the crash came between their commits. */
async function crashedWith(history: ShardHistory, secret: string): Promise<void> {
  const toBlocks = { runEntriesMin: 1, recentItemsMax: 0 };
  const before = start(toBlocks);
  chat(history, 60, 2);
  await before.flush(history.job());
  await before.close();
  const kept = [statePath(dir, SHARD), recentPath(dir)].map((path) => [path, readFileSync(path)] as const);
  history.record([{ kind: "entry", stream: "@alice", lane: "@bob", key: "", payload: secret }]);
  const lost = start(toBlocks);
  await lost.flush(history.job());
  await lost.close();
  for (const [path, bytes] of kept) writeFileSync(path, bytes);
}

for (const where of ["before it is flushed again", "after it was flushed again"]) {
  test(`an entry that a crash left in a segment is gone from it when it is erased ${where}`, async () => {
    const secret = `said before the crash ${SECRET}`;
    await crashedWith(new ShardHistory(SHARD), secret);
    expect(filesWith(dir, Buffer.from(secret)).length).toBeGreaterThan(0);
    const history = new ShardHistory(SHARD);
    chat(history, 60, 2);
    history.job();
    const store = start({ recentItemsMax: 100 });
    history.record([{ kind: "entry", stream: "@alice", lane: "@bob", key: "", payload: secret }]);
    if (where.startsWith("after")) await store.flush(history.job());
    history.record([{ kind: "erase", ...BOB }]);
    await store.flush(history.job());
    for (const shard of store.pendingErasures()) await store.erase(shard, []);
    expect(filesWith(dir, Buffer.from(secret))).toEqual([]);
    expectSame(store, history);
  });
}

test("flushes of the shard go on while its segments are rewritten", async () => {
  const store = start();
  const history = await filled(store, 30);
  history.erase(BOB);
  const flushes: Promise<void>[] = [];
  let isErased = false;
  const erased = store.erase(SHARD, [BOB]).then(() => (isErased = true));
  for (let round = 30; round < 40; round++) {
    talk(history, round);
    flushes.push(store.flush(history.job()));
  }
  await Promise.all(flushes);
  expect(isErased).toBe(false);
  await erased;
  expectSame(store, history);
  history.erase(BOB);
  await store.erase(SHARD, [BOB]);
  expect(filesWith(dir, secretOf("@bob"))).toEqual([]);
  expectSame(store, history);
});

test("compaction makes fewer and smaller files, and changes nothing that is read", async () => {
  // Packed as compaction packs: a second one then finds nothing left to bring together.
  const packing = { codec: CODEC_ZSTD, level: 3 } as const;
  const small = start({ packing });
  const history = await filled(small, 20);
  await small.close();
  const store = start({ packing, segmentBytesMax: 60_000 });
  const seen: number[] = [];
  const report = await store.compact(SHARD, { onProgress: (done, total) => seen.push(done / total) });
  expect(report.filesAfter).toBeLessThan(report.filesBefore / 2);
  expect(report.bytesAfter).toBeLessThan(report.bytesBefore * 0.9);
  expect(seen.length).toBeGreaterThan(0);
  expect(seen.every((part) => part >= 0 && part <= 1)).toBe(true);
  expectSame(store, history);
  const again = await store.compact(SHARD);
  expect(again.filesAfter).toBe(again.filesBefore);
  talk(history, 20);
  await store.flush(history.job());
  await store.close();
  expectSame(start(), history);
});

test("erased history takes next to nothing once it is compacted", async () => {
  const store = openSegmentStore({ dir });
  open.push(store);
  const history = new ShardHistory(SHARD);
  for (let i = 0; i < 20; i++) {
    chat(history, 500, 3);
    await store.flush(history.job());
  }
  const ranges = [...history.streams.keys()].map((stream) => ({ stream, fromSeq: 1, toSeq: 10_000 }));
  for (const range of ranges) history.erase(range);
  await store.erase(SHARD, ranges);
  const { bytesAfter } = await store.compact(SHARD);
  expect(bytesAfter / 10_000).toBeLessThan(2);
  expectSame(store, history);
});

function segmentFiles(directory: string): string[] {
  return readdirSync(shardDirectory(directory, SHARD))
    .filter((name) => name.startsWith("segment-"))
    .sort();
}

function listedFiles(directory: string): string[] {
  const state = new SqlDatabase(statePath(directory, SHARD), "readonly");
  const rows = state.sql("SELECT DISTINCT file FROM segment ORDER BY file").all<{ file: number }>();
  state.close();
  return rows.map(({ file }) => basename(segmentPath(directory, SHARD, file)));
}

/** Runs the steps of a rewriting in this process, as the worker would; before each, a copy of the directory is what a crash would have left. */
async function crashAtEachStep(
  history: ShardHistory,
  begin: (writer: ShardWriter) => RewriteSteps<unknown>,
  check: (store: SegmentStore) => Promise<void>,
): Promise<number> {
  const writer = new ShardWriter(SHARD, { dir, ...WRITER });
  const copies: string[] = [];
  const copy = (): void => {
    const to = mkdtempSync(join(tmpdir(), "erasure-crash-"));
    cpSync(dir, to, { recursive: true });
    copies.push(to);
  };
  copy();
  for (const _ of begin(writer)) copy();
  writer.close();
  for (const to of copies) {
    const store = openSegmentStore({ dir: to, ...WRITER });
    try {
      expectSame(store, history);
      await check(store);
      expectSame(store, history);
      await store.close();
      expect(segmentFiles(to)).toEqual(listedFiles(to));
    } finally {
      await store.close();
      rmSync(to, { recursive: true, force: true });
    }
  }
  return copies.length;
}

test("a crash at any step of erasing leaves what is read as it was, and the erasure is finished later", async () => {
  const store = start();
  const history = await filled(store);
  await store.close();
  const erasing = new ShardWriter(SHARD, { dir, ...WRITER });
  erasing.spill([BOB], undefined, erasing.row);
  erasing.close();
  history.erase(BOB);
  const steps = await crashAtEachStep(
    history,
    (writer) => writer.eraseSteps(),
    async (copy) => {
      for (const shard of copy.pendingErasures()) await copy.erase(shard, []);
    },
  );
  expect(steps).toBeGreaterThan(4);
  expect(filesWith(dir, secretOf("@bob"))).toEqual([]);
});

test("a crash at any step of compacting loses nothing, and leaves no file that nobody lists", async () => {
  const store = start();
  const history = await filled(store);
  await store.close();
  const steps = await crashAtEachStep(
    history,
    (writer) => writer.compactSteps(9),
    async (copy) => void (await copy.compact(SHARD)),
  );
  expect(steps).toBeGreaterThan(4);
});

test("closing in the middle of an erasure leaves it to be finished later", async () => {
  const store = start();
  const history = await filled(store, 30);
  history.erase(BOB);
  const erased = store.erase(SHARD, [BOB]).then(
    () => "done",
    (error: { code: string }) => error.code,
  );
  await store.close();
  expect(await erased).toBe("closed");
  const again = start();
  expectSame(again, history);
  expect(again.pendingErasures()).toEqual([SHARD]);
  await again.erase(SHARD, []);
  expect(filesWith(dir, secretOf("@bob"))).toEqual([]);
});

test("what a shard has in the file of all shards is erased there, with a flush or without, and makes it no files of its own", async () => {
  const store = start({ recentBytesMax: 1 << 20 });
  const history = await filled(store);
  history.erase(BOB);
  await store.erase(SHARD, [BOB]);
  expectSame(store, history);
  expect(filesWith(dir, secretOf("@bob"))).toEqual([]);
  history.record([{ kind: "erase", stream: "@alice", fromSeq: 1, toSeq: 1_000_000 }]);
  history.record([{ kind: "entry", stream: "@alice", lane: "@eve", key: "", payload: "said afterwards" }]);
  await store.flush(history.job());
  expectSame(store, history);
  expect(store.pendingErasures()).toEqual([SHARD]);
  await store.close();
  const again = start({ recentBytesMax: 1 << 20 });
  expect(again.pendingErasures()).toEqual([SHARD]);
  await again.erase(SHARD, []);
  expect(again.pendingErasures()).toEqual([]);
  expect(filesWith(dir, secretOf("@eve"))).toEqual([]);
  expectSame(again, history);
  expect(existsSync(shardDirectory(dir, SHARD))).toBe(false);
});
