/** A shard's own files and what `recent.db` has on top of them belong together: where they do not, nobody makes up a shard from them. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CorruptionError } from "../../../storage/errors.ts";
import { recentPath, shardDirectory, statePath } from "../../../storage/files/sqlite/paths.ts";
import { openSegmentStore } from "../../../storage/files/sqlite-segments.ts";
import type { SegmentStore } from "../../../storage/files/segment-store.ts";
import type { ShardId } from "../../../storage/types.ts";
import { openLogStore } from "../../../storage/open-store.ts";
import { entry, QUIET } from "../log-fixture.ts";
import { LogHistory } from "../log-history.ts";
import { chat, ShardHistory } from "./history.ts";

const SHARD = 42 as ShardId;
let dir: string;
let history: ShardHistory;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "own-files-"));
  history = new ShardHistory(SHARD);
});
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }));

async function withStore<T>(recentBytesMax: number, use: (store: SegmentStore) => Promise<T>): Promise<T> {
  const store = openSegmentStore({ dir, recentBytesMax });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** To the shard's own files, or to `recent.db`. */
const flush = (to: "own" | "recent"): Promise<void> =>
  withStore(to === "own" ? 0 : 1 << 20, async (store) => {
    chat(history, 30, 3);
    await store.flush(history.job());
  });

async function expectRefused(): Promise<void> {
  await withStore(1 << 20, async (store) => {
    const reads = [() => store.reach(SHARD), () => store.head(SHARD, "@user1"), () => store.cells(SHARD, "@user1")];
    for (const read of reads) expect(read).toThrow(CorruptionError);
    expect(() => store.reach(SHARD)).toThrow(`${statePath(dir, SHARD)}: it`);
    chat(history, 5, 3);
    await expect(store.flush(history.job())).rejects.toThrow("recent.db goes on from 30");
  });
}

test("own files that are gone are missed by every read and by the next flush, with nothing on top of them", async () => {
  await flush("own");
  fs.rmSync(shardDirectory(dir, SHARD), { recursive: true });
  await expectRefused();
});

test("own files that are gone are missed by every read and by the next flush, with newer entries on top of them", async () => {
  await flush("own");
  await flush("recent");
  fs.rmSync(shardDirectory(dir, SHARD), { recursive: true });
  await expectRefused();
});

test("own files of an earlier moment are refused by every read and by the next flush", async () => {
  chat(history, 10, 3);
  await withStore(0, (store) => store.flush(history.job()));
  const earlier = fs.readFileSync(statePath(dir, SHARD));
  chat(history, 20, 3);
  await withStore(0, (store) => store.flush(history.job()));
  await flush("recent");
  fs.writeFileSync(statePath(dir, SHARD), earlier);
  await expectRefused();
});

test("own files that are newer than recent.db, as a crash leaves them, are taken as they are", async () => {
  await flush("own");
  await flush("recent");
  const earlier = fs.readFileSync(recentPath(dir));
  await flush("own");
  fs.writeFileSync(recentPath(dir), earlier);
  await withStore(1 << 20, async (store) => {
    expect(store.reach(SHARD).flushedThrough).toBe(history.offset);
    chat(history, 5, 3);
    await store.flush(history.job());
    expect(store.reach(SHARD).flushedThrough).toBe(history.offset);
    expect(store.readForward(SHARD, "@user1", 0 as never, 1000).length).toBe(history.streams.get("@user1")!.headSeq);
  });
});

test("a log without the file of recent entries is not taken for a store in which shards are empty", async () => {
  const store = await openLogStore({ directory: dir }, QUIET);
  new LogHistory().append(store, [entry("one")]);
  await store.close();
  fs.rmSync(recentPath(dir));
  await expect(openLogStore({ directory: dir }, QUIET)).rejects.toThrow(CorruptionError);
});
