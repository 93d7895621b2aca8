import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LogStore } from "../../storage/log-store.ts";
import { openLogStore } from "../../storage/open-store.ts";
import type { LogStoreOptions } from "../../storage/store-options.ts";
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../storage/shard/staged-record.ts";
import type { Seq, ShardId, StoredEntry } from "../../storage/types.ts";
import { FlushError } from "../../storage/files/flush-error.ts";
import { filesWith } from "./files/stored-bytes.ts";

const SHARD = 5 as ShardId;
const NEVER = Number.MAX_SAFE_INTEGER as Seq;
const fail = (error: unknown): never => {
  throw error;
};

let dir: string;
let store: LogStore;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "erase-now-"));
  store = await open();
});

afterEach(async () => {
  await store.close();
  rmSync(dir, { recursive: true, force: true });
});

function open(options: Partial<LogStoreOptions> = {}): Promise<LogStore> {
  const hooks = { checkpoint: () => new Uint8Array(0), beforeWrite: () => {}, onListenerError: fail };
  return openLogStore(
    { directory: dir, walFileBytes: 1 << 20, ...options },
    { ...hooks, onFlushFailure: fail, onFailure: fail },
  );
}

/** Bytes of no pattern, so that no packing hides them. */
const SECRET = Buffer.from(crypto.getRandomValues(new Uint8Array(60))).toString("hex");

/** One entry, durable when it resolves. */
function say(log: ShardLog, handle: StreamHandle, lane: string, key: string, text: string): Promise<void> {
  const payload = Buffer.from(text);
  return new Promise((resolve, reject) => {
    const encode = (): void => {
      log.beginEntry(handle, lane, key, (handle.appendedSeq + 1) as Seq, payload.length);
      log.writer.raw(payload);
      log.endEntry();
    };
    log.append({ encode, committed: resolve, failed: reject });
  });
}

const WORDS =
  "the kernel module does not load after an upgrade so try to reboot and then check your sound settings".split(" ");
/** What a higher level packs better than a lower one. */
const talk = (seed: number): string =>
  Array.from({ length: 12 }, (_, k) => WORDS[(seed * (k + 3) + k * k) % WORDS.length]).join(" ");

function erase(log: ShardLog, handle: StreamHandle, lane: string | undefined, from: number, to: number): Promise<void> {
  return new Promise((resolve, reject) => {
    log.append({
      encode: () => log.erase(handle, lane, from as Seq, to as Seq),
      committed: resolve,
      failed: reject,
    });
  });
}

function texts(entries: StoredEntry[]): string[] {
  return entries.map(({ seq, key, payload }) => `${seq} ${key} ${Buffer.from(payload).toString().slice(0, 8)}`);
}

function everyRead(log: ShardLog): string[][] {
  return [
    texts(log.readForward("@alice", 0 as Seq, 1000)),
    texts(log.readLaneForward("@alice", "@bob", 0 as Seq, 1000)),
    texts(log.readLaneBackward("@alice", "@bob", NEVER, 1000)),
    ["d-1", "d-2", "d-40", "d-90"].map((key) => `${key} ${log.findKey("@alice", key)?.seq ?? "none"}`),
  ];
}

test("an erasure is read at once in memory, over a flush, after a restart, and each time the same", async () => {
  let log = store.shard(SHARD);
  const handle = new StreamHandle("@alice", undefined);
  for (let i = 1; i <= 80; i++) await say(log, handle, i % 2 === 0 ? "@bob" : "@eve", `d-${i}`, `text ${i}`);
  await store.flushAll(() => false);
  for (let i = 81; i <= 100; i++) await say(log, handle, i % 2 === 0 ? "@bob" : "@eve", `d-${i}`, `text ${i}`);
  await erase(log, handle, "@bob", 1, 1_000_000);
  const after = everyRead(log);
  expect(after[0]!.slice(0, 4)).toEqual(["1 d-1 text 1", "2  ", "3 d-3 text 3", "4  "]);
  expect(after[0]).toHaveLength(100);
  expect(after[1]).toEqual(Array.from({ length: 50 }, (_, i) => `${2 * i + 2}  `));
  expect(after[2]).toEqual(after[1]);
  expect(after[3]).toEqual(["d-1 1", "d-2 none", "d-40 none", "d-90 none"]);
  await say(log, handle, "@bob", "d-101", "later");
  expect(texts(log.readLaneBackward("@alice", "@bob", NEVER, 1))).toEqual(["101 d-101 later"]);
  const withLater = everyRead(log);
  await store.close();
  store = await open();
  log = store.shard(SHARD);
  expect(everyRead(log)).toEqual(withLater);
  await store.flushAll(() => false);
  expect(everyRead(log)).toEqual(withLater);
  await store.eraseNow();
  expect(everyRead(log)).toEqual(withLater);
});

test("after eraseNow no file has the bytes, whether they were flushed or not, and the rest is there", async () => {
  const log = store.shard(SHARD);
  const other = store.shard(6 as ShardId);
  const handle = new StreamHandle("@alice", undefined);
  const carol = new StreamHandle("@carol", undefined);
  for (let i = 1; i <= 400; i++) await say(log, handle, i % 2 === 0 ? "@bob" : "@eve", `d-${i}`, `${SECRET} ${i % 2}`);
  await say(other, carol, "@dave", "", `${SECRET} of carol`);
  await store.flushAll(() => false);
  for (let i = 0; i < 20; i++) await say(log, handle, "@bob", `${SECRET.slice(0, 30)}-key-${i}`, `${SECRET} 0`);
  await erase(log, handle, "@bob", 1, 1_000_000);
  const said = Buffer.from(`${SECRET} 0`);
  expect(filesWith(dir, said).length).toBeGreaterThan(1);
  const seen: number[] = [];
  await store.eraseNow((shard) => seen.push(shard));
  expect(filesWith(dir, said)).toEqual([]);
  expect(filesWith(dir, Buffer.from(`${SECRET.slice(0, 30)}-key-`))).toEqual([]);
  expect(filesWith(dir, Buffer.from(`${SECRET} 1`)).length).toBeGreaterThan(0);
  expect(filesWith(dir, Buffer.from(`${SECRET} of carol`)).length).toBeGreaterThan(0);
  expect(new Set(seen)).toEqual(new Set([SHARD as number]));
  expect(log.readForward("@alice", 0 as Seq, 1000)).toHaveLength(420);
});

test("messages go on while eraseNow runs, and an erasure cut off by a crash is finished by the next", async () => {
  const log = store.shard(SHARD);
  const handle = new StreamHandle("@alice", undefined);
  for (let i = 1; i <= 300; i++) await say(log, handle, "@bob", "", `${SECRET} 0`);
  await store.flushAll(() => false);
  await erase(log, handle, undefined, 1, 300);
  let isDone = false;
  const erased = store.eraseNow().then(() => (isDone = true));
  let said = 0;
  while (!isDone) {
    await say(log, handle, "@bob", "", `meanwhile ${said++}`);
  }
  await erased;
  expect(filesWith(dir, Buffer.from(`${SECRET} 0`))).toEqual([]);
  await erase(log, handle, undefined, 301, 300 + said);
  await store.flushAll(() => false);
  await store.close();
  store = await open();
  await store.eraseNow();
  expect(filesWith(dir, Buffer.from("meanwhile"))).toEqual([]);
  const entries = store.shard(SHARD).readForward("@alice", 0 as Seq, 100_000);
  expect(entries.length).toBe(300 + said);
  expect(entries.every((entry) => entry.payload.length === 0)).toBe(true);
});

test("pending erasures are told from the flush on that brings them, also after a restart, until they are finished", async () => {
  const handle = new StreamHandle("@alice", undefined);
  for (let i = 1; i <= 80; i++) await say(store.shard(SHARD), handle, "@bob", "", `text ${i}`);
  await store.flushAll(() => false);
  await erase(store.shard(SHARD), handle, undefined, 1, 40);
  expect(store.pendingErasures()).toEqual([]);
  await store.flushAll(() => false);
  expect(store.pendingErasures()).toEqual([SHARD]);
  await store.close();
  store = await open();
  expect(store.pendingErasures()).toEqual([SHARD]);
  await store.eraseNow();
  expect(store.pendingErasures()).toEqual([]);
});

test("compacting makes less of the files and changes nothing that is read", async () => {
  await store.close();
  store = await open({ segmentBytesMax: 64 << 10 });
  const log = store.shard(SHARD);
  const handle = new StreamHandle("@alice", undefined);
  for (let round = 0; round < 12; round++) {
    for (let i = 0; i < 200; i++) await say(log, handle, "@bob", "", `${talk(i * 12 + round)} of round ${round}, ${i}`);
    await store.flushAll(() => false);
  }
  const before = everyRead(log);
  const report = await store.compact(SHARD);
  expect(report.bytesBefore).toBeGreaterThan(0);
  expect(report.bytesAfter).toBeLessThan(report.bytesBefore);
  expect(everyRead(log)).toEqual(before);
  expect(await store.compact(7 as ShardId)).toMatchObject({ filesBefore: 0, bytesAfter: 0 });
});

test("the streams of a shard are told by name, flushed or not", async () => {
  const log = store.shard(SHARD);
  await say(log, new StreamHandle("@alice", undefined), "@bob", "", "a");
  await store.flushAll(() => false);
  await say(log, new StreamHandle("#club", undefined), "m", "", "b");
  expect([...log.streams()]).toEqual(["@alice", "#club"]);
  expect([...store.shard(6 as ShardId).streams()]).toEqual([]);
});

test("who asks to erase or to compact while the store is being closed is refused and does not wait for ever", async () => {
  const log = store.shard(SHARD);
  const handle = new StreamHandle("@alice", undefined);
  for (let i = 1; i <= 80; i++) await say(log, handle, "@bob", "", `text ${i}`);
  await store.flushAll(() => false);
  await erase(log, handle, undefined, 1, 80);
  await store.flushAll(() => false);
  const closed = store.close();
  // Some come before the files are closed and some after.
  const asked: Promise<unknown>[] = [];
  let isClosed = false;
  void closed.then(() => (isClosed = true));
  while (!isClosed) {
    asked.push(store.compact(SHARD).catch((error: unknown) => error));
    await new Promise<void>((resolve) => void setImmediate(resolve));
  }
  const answers = await Promise.all(asked);
  expect(answers.length).toBeGreaterThan(0);
  expect(answers.at(-1)).toBeInstanceOf(FlushError);
  store = await open();
});
