/** The segment side of a data directory that is moved while its files are open, with another one in its place. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DirectoryLostError } from "../../../storage/errors.ts";
import { openLogStore } from "../../../storage/open-store.ts";
import type { LogStoreOptions } from "../../../storage/store-options.ts";
import type { FlushError } from "../../../storage/files/flush-error.ts";
import { recentPath } from "../../../storage/files/sqlite/paths.ts";
import { openSegmentStore } from "../../../storage/files/sqlite-segments.ts";
import type { SegmentStore } from "../../../storage/files/segment-store.ts";
import { leaveWal, openForWriting } from "../../../storage/files/sqlite/written-file.ts";
import { RECENT_FORMAT } from "../../../storage/files/layers/recent-file.ts";
import { listFiles } from "../../../storage/tools/inventory.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { HeldDirectory } from "../../../storage/vfs/held-directory.ts";
import { entry, QUIET } from "../log-fixture.ts";
import { LogHistory } from "../log-history.ts";
import { chat, ShardHistory } from "./history.ts";

const SHARD = 7 as ShardId;
let root: string;
let path: string;
let held: HeldDirectory;
let open: SegmentStore[];

beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), "moved-directory-"));
  path = join(root, "data");
  fs.mkdirSync(path);
  held = HeldDirectory.open(path);
  open = [];
});

afterEach(async () => {
  for (const store of open) await store.close();
  held.close();
  fs.rmSync(root, { recursive: true, force: true });
});

const moved = (): string => join(root, "moved");

/** A store whose shards have files of their own at once. */
function start(): SegmentStore {
  const store = openSegmentStore({ dir: held.at, held, runEntriesMin: 1, recentItemsMax: 0, recentBytesMax: 0 });
  store.begin(true);
  open.push(store);
  return store;
}

/** Moves the directory away. In its place is one with files of the same names, whose write-ahead files are somebody else's. */
function replace(): void {
  fs.renameSync(path, moved());
  fs.cpSync(moved(), path, { recursive: true });
  for (const { path: file } of listFiles(path).filter(({ path: name }) => name.endsWith(".db")))
    fs.writeFileSync(join(path, `${file}-wal`), "somebody else's");
}

function giveBack(): void {
  fs.rmSync(path, { recursive: true });
  fs.renameSync(moved(), path);
}

test("flushing, erasing, spilling and compacting are refused, reads go on, and nothing is put into the other directory; when it is back, all is done", async () => {
  const store = start();
  const history = new ShardHistory(SHARD);
  chat(history, 20, 2);
  await store.flush(history.job());
  replace();
  const before = listFiles(path);
  chat(history, 20, 2);
  const job = history.job();
  const codeOf = (work: Promise<unknown>): Promise<unknown> => work.catch((error: FlushError) => error.code);
  const refused = await store.flush(job).catch((error: FlushError) => error);
  expect(refused).toMatchObject({
    code: "ESTALE",
    message: expect.stringContaining(`another directory is at ${path}`),
  });
  for (const work of [store.erase(SHARD, []), store.spill(SHARD), store.compact(SHARD)])
    expect(await codeOf(work)).toBe("ESTALE");
  const [name] = history.streams.keys();
  expect(store.readForward(SHARD, name!, 0 as Seq, 1000).length).toBeGreaterThan(0);
  expect(listFiles(path)).toEqual(before);
  giveBack();
  await store.flush(job);
  await store.compact(SHARD);
  expect(store.reach(SHARD).flushedThrough).toBe(history.flushedThrough);
});

test("a store that is closed after the move leaves the other's files alone, write-ahead files among them", async () => {
  const store = start();
  const history = new ShardHistory(SHARD);
  chat(history, 20, 2);
  await store.flush(history.job());
  expect(listFiles(path).some(({ path: name }) => name.endsWith("state.db-wal"))).toBe(true);
  replace();
  const before = listFiles(path);
  await open.pop()!.close();
  expect(listFiles(path)).toEqual(before);
  // What was committed is in the directory that was moved.
  giveBack();
  expect(start().reach(SHARD).flushedThrough).toBe(history.flushedThrough);
});

test("a file whose directory was moved does not leave WAL mode, which would remove another's write-ahead file", () => {
  start();
  const db = openForWriting(recentPath(held.at), RECENT_FORMAT, false);
  try {
    expect(db.isInPlace).toBe(true);
    replace();
    expect(db.isInPlace).toBe(false);
    leaveWal(db);
    expect(fs.readFileSync(`${recentPath(path)}-wal`, "utf8")).toBe("somebody else's");
  } finally {
    db.close();
  }
  expect(fs.readFileSync(`${recentPath(path)}-wal`, "utf8")).toBe("somebody else's");
});

test("a shard whose files cannot be found since their directory was moved is not taken for a damaged one", async () => {
  const options = (): LogStoreOptions => ({
    directory: held.at,
    held,
    damage: "close",
    segments: openSegmentStore({ dir: held.at, held, runEntriesMin: 1, recentItemsMax: 0, recentBytesMax: 0 }),
  });
  const history = new LogHistory();
  const first = await openLogStore(options(), QUIET);
  history.append(first, [entry("in files of its own")]);
  // Nothing of it is left in the log, so that the next opening does not look for it.
  await first.eraseNow();
  await first.close();
  const store = await openLogStore(options(), QUIET);
  try {
    fs.renameSync(join(path, "shards"), moved());
    expect(() => store.shard(SHARD)).toThrow(DirectoryLostError);
    expect(store.damaged).toEqual([]);
    fs.renameSync(moved(), join(path, "shards"));
    history.expectIn(store);
  } finally {
    await store.close();
  }
});

test("names in messages are those that people know", () => {
  expect(held.named(`${held.at}/wal: damaged; see ${held.at}`)).toBe(`${path}/wal: damaged; see ${path}`);
  expect(held.named(`${held.at}0/wal`)).toBe(`${held.at}0/wal`);
});

test("without /proc the name itself is used, and what is done to it is noticed all the same", () => {
  const plain = HeldDirectory.open(path, join(root, "no-such"));
  try {
    expect(plain.at).toBe(path);
    plain.check();
    fs.renameSync(path, moved());
    expect(() => plain.check()).toThrow(`${path} was moved or removed`);
    expect(() => plain.openAgain()).toThrow("ENOENT");
    fs.mkdirSync(path);
    expect(() => plain.check()).toThrow(`another directory is at ${path} now`);
    expect(() => plain.openAgain()).toThrow(`another directory is at ${path} now`);
  } finally {
    plain.close();
  }
});

test("a directory in it that is made anew is another one, whatever number the system gives it", () => {
  fs.mkdirSync(join(path, "wal"));
  held.keep("wal");
  held.check();
  for (let n = 0; n < 20; n++) {
    fs.rmSync(join(path, "wal"), { recursive: true });
    fs.mkdirSync(join(path, "wal"));
    expect(() => held.check()).toThrow(`another directory is at ${path}/wal now`);
  }
});
