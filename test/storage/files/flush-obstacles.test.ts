/** Flushes while something else is in the way: a failure between the files of a flush, somebody who keeps reading. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FlushError } from "../../../storage/files/flush-error.ts";
import { erasingPath, statePath } from "../../../storage/files/sqlite/paths.ts";
import { openSegmentStore, type SegmentStoreOptions } from "../../../storage/files/sqlite-segments.ts";
import type { SegmentStore } from "../../../storage/files/segment-store.ts";
import { GrowingWriter } from "../../../storage/encoding/byte-writer.ts";
import { BUSY_TIMEOUT_MS, SqlDatabase } from "../../../storage/files/sqlite/database.ts";
import type { ShardId } from "../../../storage/types.ts";
import { chat, ShardHistory } from "./history.ts";

const SHARD = 7 as ShardId;
let dir: string;
let open: SegmentStore[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "flush-obstacles-"));
  open = [];
});

afterEach(async () => {
  for (const store of open) await store.close();
  rmSync(dir, { recursive: true, force: true });
});

function start(options: Partial<SegmentStoreOptions>): SegmentStore {
  const store = openSegmentStore({ dir, runEntriesMin: 1, recentItemsMax: 0, recentBytesMax: 0, ...options });
  open.push(store);
  return store;
}

test("a flush that failed once its erasures were in the shard's own files leaves them to be finished", async () => {
  const script = join(dir, "failing-worker.ts");
  mkdirSync(join(dir, "shards"));
  // What the worker has done by then, as far as the store can see it.
  writeFileSync(
    script,
    `import { writeFileSync } from "node:fs";
    self.onmessage = ({ data: { kind, id, job } }) => {
      if (kind === "close") self.postMessage({ kind: "closed", id });
      if (kind !== "flush") return;
      writeFileSync(${JSON.stringify(erasingPath(dir, SHARD))}, "");
      self.postMessage({ kind: "failed", id, message: "recent.db: disk full", code: "ENOSPC", job });
    };`,
  );
  const store = start({ startWorker: () => new Worker(script) });
  const history = new ShardHistory(SHARD);
  chat(history, 10, 2);
  expect(await store.flush(history.job()).catch((error: FlushError) => error.code)).toBe("ENOSPC");
  expect(store.pendingErasures()).toEqual([SHARD]);
});

test("flushes go on at their pace while somebody keeps reading the shard's files", async () => {
  const store = start({ walBytesMax: 0 });
  const history = new ShardHistory(SHARD);
  chat(history, 10, 2);
  await store.flush(history.job());
  const shell = new SqlDatabase(statePath(dir, SHARD), "readwrite");
  try {
    shell.sql("BEGIN").run();
    shell.sql("SELECT * FROM shard").all();
    const from = performance.now();
    for (let i = 0; i < 3; i++) {
      chat(history, 10, 2);
      await store.flush(history.job());
    }
    // One that waits for its lock waits for five seconds, three times: no busy machine makes that of flushes that do not.
    expect(performance.now() - from).toBeLessThan(2 * BUSY_TIMEOUT_MS);
  } finally {
    shell.close();
  }
  expect(store.reach(SHARD).flushedThrough).toBe(history.offset);
  expect(store.head(SHARD, "@user1")?.headSeq).toBe(history.streams.get("@user1")!.headSeq);
});

test("memory that one large layer took is not kept for the next", () => {
  const writer = new GrowingWriter();
  const large = new Uint8Array(20 << 20).fill(1);
  writer.copy(large, 0, large.length);
  const written = writer.written();
  writer.reset();
  expect(writer.bytes.length).toBeLessThanOrEqual(1 << 20);
  expect(written.equals(large)).toBe(true);
  writer.str8("and goes on");
  expect(writer.written().length).toBe(12);
});
