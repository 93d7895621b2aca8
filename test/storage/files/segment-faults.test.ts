import { afterEach, beforeEach, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CorruptionError, FormatError } from "../../../storage/errors.ts";
import { FlushError } from "../../../storage/files/flush-error.ts";
import { recentPath, segmentPath, shardDirectory, statePath } from "../../../storage/files/sqlite/paths.ts";
import { openSegmentStore, type SegmentStoreOptions } from "../../../storage/files/sqlite-segments.ts";
import type { SegmentStore } from "../../../storage/files/segment-store.ts";
import { SqlDatabase } from "../../../storage/files/sqlite/database.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { until } from "../../support/wait.ts";
import { chat, ShardHistory } from "./history.ts";

const SHARD = 3 as ShardId;
let dir: string;
let open: SegmentStore[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "segment-faults-"));
  open = [];
});

afterEach(async () => {
  for (const store of open) await store.close();
  rmSync(dir, { recursive: true, force: true });
});

function start(options: Partial<SegmentStoreOptions> = {}): SegmentStore {
  const store = openSegmentStore({ dir, runEntriesMin: 1, recentItemsMax: 0, recentBytesMax: 0, ...options });
  open.push(store);
  return store;
}

/** Flushes `rounds` times 100 messages of 4 users, closes, returns what was there. */
async function filled(rounds: number, options: Partial<SegmentStoreOptions> = {}): Promise<ShardHistory> {
  const store = start(options);
  const history = new ShardHistory(SHARD);
  for (let i = 0; i < rounds; i++) {
    chat(history, 100, 4);
    await store.flush(history.job());
  }
  await store.close();
  return history;
}

function texts(store: SegmentStore, stream: string): string[] {
  return store.readForward(SHARD, stream, 0 as Seq, 10_000).map((entry) => Buffer.from(entry.payload).toString());
}

function expected(history: ShardHistory, stream: string): string[] {
  return history.streams.get(stream)!.entries.map((entry) => entry.payload);
}

function edit(path: string, sql: string): void {
  const db = new SqlDatabase(path, "readwrite");
  db.exec(sql);
  db.close();
}

/**
 * State as it was before the last flush, segments as they are after it: a crash between the two transactions. `limit` tells, from the bytes
 * of the segment before that flush, what a segment may have.
 */
async function crashBetween(
  limit: (bytes: number) => number,
): Promise<{ history: ShardHistory; segmentBytesMax: number }> {
  const history = await filled(2);
  const segmentBytesMax = limit(statSync(segmentPath(dir, SHARD, 1)).size);
  const before = join(dir, "before");
  cpSync(statePath(dir, SHARD), join(before, "state.db"));
  cpSync(recentPath(dir), join(before, "recent.db"));
  const lost = new ShardHistory(SHARD);
  Object.assign(lost, { offset: history.offset, streams: structuredClone(history.streams) });
  chat(lost, 100, 6);
  const store = start({ segmentBytesMax });
  await store.flush(lost.job());
  await store.close();
  cpSync(join(before, "state.db"), statePath(dir, SHARD));
  cpSync(join(before, "recent.db"), recentPath(dir));
  return { history, segmentBytesMax };
}

const CRASHES = [
  { where: "the same segment", limit: () => 64 << 20, segments: 1, orphansIn: 1 },
  { where: "a segment that they fill up", limit: (bytes: number) => bytes, segments: 1, orphansIn: 1 },
  { where: "a new segment", limit: (bytes: number) => bytes - 1, segments: 2, orphansIn: 2 },
];

for (const { where, limit, segments, orphansIn } of CRASHES) {
  test(`a crash before the state's transaction leaves no trace, with orphans in ${where}`, async () => {
    const { history, segmentBytesMax } = await crashBetween(limit);
    expect(segmentNumbers().length).toBe(segments);
    expect(blocksOnDisk()[orphansIn - 1]).toBeGreaterThan(blocksCounted()[orphansIn - 1] ?? 0);
    const store = start({ segmentBytesMax });
    expect(store.reach(SHARD).flushedThrough).toBe(history.flushedThrough);
    expect(texts(store, "@user1")).toEqual(expected(history, "@user1"));
    expect(store.head(SHARD, "@user5")).toBeUndefined();
    for (let i = 0; i < 3; i++) {
      history.record([
        { kind: "entry", stream: "@user1", lane: "@bob", key: `n-${i}`, payload: `after the crash ${i}` },
      ]);
      await store.flush(history.job());
    }
    expect(texts(store, "@user1")).toEqual(expected(history, "@user1"));
    expect(store.findKey(SHARD, "@user1", "n-2")?.seq).toBe(history.streams.get("@user1")!.headSeq);
    await store.close();
    expect(blocksOnDisk()).toEqual(blocksCounted());
  });
}

test("a crash between the transactions of a shard's own files and of the file of all shards counts nothing twice", async () => {
  const history = new ShardHistory(SHARD);
  const first = start({ recentBytesMax: 1 << 20 });
  chat(history, 100, 4);
  await first.flush(history.job());
  await first.close();
  const copy = join(dir, "recent.copy");
  cpSync(recentPath(dir), copy);
  const second = start();
  chat(history, 100, 6);
  await second.flush(history.job());
  await second.close();
  cpSync(copy, recentPath(dir));
  const third = start({ recentBytesMax: 1 << 20 });
  expect(third.reach(SHARD).flushedThrough).toBe(history.flushedThrough);
  expect(texts(third, "@user1")).toEqual(expected(history, "@user1"));
  chat(history, 50, 6);
  await third.flush(history.job());
  expect(texts(third, "@user1")).toEqual(expected(history, "@user1"));
  expect(texts(third, "@user5")).toEqual(expected(history, "@user5"));
  await third.spill(SHARD);
  expect(texts(third, "@user1")).toEqual(expected(history, "@user1"));
});

function segmentNumbers(): number[] {
  return readdirSync(shardDirectory(dir, SHARD))
    .flatMap((name) => /^segment-(\d+)\.db$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

function blocksOnDisk(): number[] {
  return segmentNumbers().map((segment) => {
    const db = new SqlDatabase(segmentPath(dir, SHARD, segment), "readonly");
    const { blocks } = db.sql("SELECT count(*) AS blocks FROM block").get<{ blocks: number }>()!;
    db.close();
    return blocks;
  });
}

function blocksCounted(): number[] {
  const db = new SqlDatabase(statePath(dir, SHARD), "readonly");
  const rows = db.sql("SELECT blocks FROM segment ORDER BY segment").all<{ blocks: number }>();
  db.close();
  return rows.map((row) => row.blocks);
}

test("one changed byte in a block is reported with file, table and row", async () => {
  await filled(1);
  const path = segmentPath(dir, SHARD, 1);
  const db = new SqlDatabase(path, "readonly");
  const { data } = db.sql("SELECT data FROM block WHERE block = 1").get<{ data: Uint8Array }>()!;
  db.close();
  const bytes = readFileSync(path);
  const piece = Buffer.from(data.subarray(500, 560));
  const at = bytes.indexOf(piece);
  expect(at).toBeGreaterThan(0);
  bytes[at + 20]! ^= 4;
  writeFileSync(path, bytes);
  const error = thrownBy(() => texts(start(), "@user1"));
  expect(error).toBeInstanceOf(CorruptionError);
  expect((error as Error).message).toBe(`${path}: checksum does not match at table block, row 1`);
});

test("every column of a block is covered by its checksum", async () => {
  await filled(1);
  const path = segmentPath(dir, SHARD, 1);
  for (const column of ["codec", "raw_bytes", "crc"]) {
    edit(path, `UPDATE block SET ${column} = ${column} + 1`);
    expect(thrownBy(() => texts(start(), "@user1"))).toBeInstanceOf(CorruptionError);
    edit(path, `UPDATE block SET ${column} = ${column} - 1`);
  }
  expect(texts(start(), "@user1").length).toBe(25);
});

test("a block that is missing, and a segment that is missing, are reported", async () => {
  const history = await filled(1);
  const path = segmentPath(dir, SHARD, 1);
  renameSync(path, `${path}.away`);
  expect(thrownBy(() => texts(start(), "@user1"))).toMatchObject({ name: "CorruptionError", file: path });
  chat(history, 10, 4);
  expect((await rejection(start().flush(history.job()))).message).toContain("segment is missing");
  renameSync(`${path}.away`, path);
  edit(path, "DELETE FROM block");
  expect(thrownBy(() => texts(start(), "@user1"))).toMatchObject({ name: "CorruptionError", file: path });
});

test("segments without a state are not an empty shard, neither to readers nor to a flush", async () => {
  const history = await filled(1);
  rmSync(statePath(dir, SHARD));
  expect(thrownBy(() => start().reach(SHARD))).toMatchObject({ name: "CorruptionError", file: statePath(dir, SHARD) });
  chat(history, 10, 4);
  expect((await rejection(start().flush(history.job()))).message).toContain("shard state is missing");
  expect(blocksOnDisk()).toEqual([1]);
});

test("a segment of another shard is not believed", async () => {
  const history = new ShardHistory(4);
  chat(history, 100, 4);
  await filled(1);
  const store = start();
  await store.flush(history.job());
  await store.close();
  cpSync(segmentPath(dir, 4 as ShardId, 1), segmentPath(dir, SHARD, 1));
  expect(thrownBy(() => texts(start(), "@user1"))).toBeInstanceOf(CorruptionError);
});

test("files that are no databases, not ours, or newer are refused by name", async () => {
  await filled(1);
  const path = statePath(dir, SHARD);
  edit(path, "PRAGMA user_version = 2");
  expect(thrownBy(() => start().reach(SHARD))).toBeInstanceOf(FormatError);
  expect(String(thrownBy(() => start().reach(SHARD)))).toContain(`${path}: format version 2`);
  edit(path, "PRAGMA user_version = 1; PRAGMA application_id = 5");
  expect(thrownBy(() => start().reach(SHARD))).toMatchObject({ name: "CorruptionError", file: path });
  writeFileSync(path, "nothing of the kind ".repeat(500));
  expect(thrownBy(() => start().reach(SHARD))).toMatchObject({ name: "CorruptionError", file: path });
});

test("a flush that cannot write rejects with the system's code, and can be repeated", async () => {
  const history = new ShardHistory(SHARD);
  chat(history, 50, 4);
  const store = start();
  writeFileSync(join(dir, "shards"), "in the way");
  const job = history.job();
  expect((await rejection(store.flush(job))).code).toBe("ENOTDIR");
  rmSync(join(dir, "shards"));
  await store.flush(job);
  expect(texts(store, "@user1")).toEqual(expected(history, "@user1"));
});

test("a failed flush takes no effect, not in part", async () => {
  const store = start();
  const history = new ShardHistory(SHARD);
  chat(history, 50, 4);
  await store.flush(history.job());
  chat(history, 50, 4);
  const job = history.job();
  const wrong = { ...job, streams: job.streams.map((s) => ({ ...s })) };
  wrong.streams[2]!.streamNo = 77;
  expect((await rejection(store.flush(wrong))).message).toContain("is known as number 3, not 77");
  expect(store.reach(SHARD).flushedThrough).toBe(50 as never);
  expect(texts(store, "@user1").length).toBe(expected(history, "@user1").length / 2);
  await store.flush(job);
  expect(texts(store, "@user1")).toEqual(expected(history, "@user1"));
});

test("records that were flushed, and terms that have passed, are refused", async () => {
  const store = start();
  const history = new ShardHistory(SHARD);
  chat(history, 10, 2);
  const job = history.job();
  await store.flush(job);
  expect((await rejection(store.flush(job))).message).toContain("record 1 after 10");
  history.term = 0 as never;
  chat(history, 1, 2);
  expect((await rejection(store.flush(history.job()))).message).toContain("flush of term 0, but term 1 has flushed");
});

test("a worker that dies rejects what waits and what comes later", async () => {
  const script = join(dir, "dying-worker.ts");
  writeFileSync(
    script,
    "self.onmessage = (event) => { if (event.data.kind === 'flush') throw new Error('struck by lightning'); };",
  );
  const store = start({ startWorker: () => new Worker(script) });
  const history = new ShardHistory(SHARD);
  chat(history, 10, 2);
  const first = rejection(store.flush(history.job()));
  chat(history, 10, 2);
  const second = rejection(store.flush(history.job()));
  for (const error of [await first, await second, await rejection(store.flush(history.job()))]) {
    expect(error.code).toBe("worker_gone");
    expect(error.message).toContain("the flush worker is gone");
  }
});

test("another worker takes the place of one that died, and its flush is repeated", async () => {
  const script = join(dir, "dying-worker.ts");
  writeFileSync(
    script,
    "self.onmessage = (event) => { if (event.data.kind === 'flush') throw new Error('struck by lightning'); };",
  );
  let started = 0;
  const real = new URL("../../../storage/files/flush/flush-worker.ts", import.meta.url);
  const store = start({ startWorker: () => new Worker(++started === 1 ? script : real) });
  const history = new ShardHistory(SHARD);
  chat(history, 10, 2);
  const job = history.job();
  expect((await rejection(store.flush(job))).code).toBe("worker_gone");
  await until("the dead worker has let go, and another one flushes", async () => {
    await store.flush(job).catch((error: FlushError) => expect(error.code).toBe("worker_gone"));
    return store.reach(SHARD).flushedThrough > 0;
  });
  expect(texts(store, "@user1")).toEqual(expected(history, "@user1"));
  expect(started).toBe(2);
});

test("closing does not wait for ever for a worker that does not answer", async () => {
  const script = join(dir, "deaf-worker.ts");
  writeFileSync(script, "self.onmessage = () => {};");
  const store = start({ startWorker: () => new Worker(script), closeMsMax: 20 });
  const history = new ShardHistory(SHARD);
  chat(history, 10, 2);
  const flushed = rejection(store.flush(history.job()));
  await store.close();
  expect((await flushed).code).toBe("closed");
});

test("a worker that ends without a word rejects what waits", async () => {
  const script = join(dir, "leaving-worker.ts");
  writeFileSync(script, "self.onmessage = (event) => { if (event.data.kind === 'flush') process.exit(0); };");
  const store = start({ startWorker: () => new Worker(script) });
  const history = new ShardHistory(SHARD);
  chat(history, 10, 2);
  expect((await rejection(store.flush(history.job()))).code).toBe("worker_gone");
});

test("closing waits for flushes under way, and refuses later ones", async () => {
  const store = start();
  const history = new ShardHistory(SHARD);
  chat(history, 2000, 50);
  const flushed = store.flush(history.job());
  await store.close();
  await flushed;
  chat(history, 1, 1);
  expect((await rejection(store.flush(history.job()))).code).toBe("closed");
  expect(() => store.reach(SHARD)).toThrow("closed");
  expect(start().reach(SHARD).flushedThrough).toBe(2000 as never);
});

function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

async function rejection(promise: Promise<unknown>): Promise<FlushError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(FlushError);
  return error as FlushError;
}
