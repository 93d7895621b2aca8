/** A log whose recovery begins behind what was flushed, over SQLite files: where that is, the files say. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RECENT_FORMAT } from "../../../storage/files/layers/recent-file.ts";
import { openForReading } from "../../../storage/files/sqlite/handle-pool.ts";
import { recentPath, statePath } from "../../../storage/files/sqlite/paths.ts";
import { openSegmentStore } from "../../../storage/files/sqlite-segments.ts";
import type { CommitLog, LogHooks } from "../../../storage/log/commit-log.ts";
import { LogStore } from "../../../storage/log-store.ts";
import { openLogStore } from "../../../storage/open-store.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import { verifyDirectory } from "../../../storage/tools/verify.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { realFileSystem } from "../../../storage/vfs/file-system.ts";
import { QUIET } from "../log-fixture.ts";
import { LaneWorld } from "./lane-world.ts";
import { SHARDS } from "./log-world.ts";

const [MUCH, LITTLE] = SHARDS as [ShardId, ShardId];
let directory: string;
let world: LaneWorld;

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "positions-"));
  world = new LaneWorld(1);
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

/** A log that keeps everything, as one with a time of retention does. */
function makeLog(hooks: LogHooks): CommitLog {
  const log = world.make(hooks);
  log.trim = () => {};
  Object.defineProperty(log, "fullness", { value: 0 });
  return log;
}

/** Of a shard with more than a few messages, the shard's own files are made. */
function open(keepsPositions = true): Promise<LogStore> {
  const segments = openSegmentStore({ dir: directory, keepsPositions, recentBytesMax: 500, recentItemsMax: 10 });
  const parts = { directory, files: realFileSystem, segments, makeLog, memtableBytesMax: 1 << 20 };
  return LogStore.open({ ...parts, damage: "refuse" }, QUIET);
}

async function append(store: LogStore, shard: ShardId, count: number): Promise<void> {
  const log = store.shard(shard);
  const handle = new StreamHandle("@alice", log.head("@alice"));
  for (let n = 0; n < count; n++) {
    const encode = (): void => {
      log.beginEntry(handle, "@bob", "", (handle.appendedSeq + 1) as Seq, 16);
      log.writer.utf8(`entry ${n}`);
      log.endEntry();
    };
    await new Promise<void>((committed, failed) => log.append({ encode, committed, failed }));
  }
}

const seqs = (store: LogStore, shard: ShardId): number =>
  store.shard(shard).readForward("@alice", 0 as Seq, 1000).length;

async function filled(): Promise<void> {
  const store = await open();
  await append(store, MUCH, 60);
  await append(store, LITTLE, 3);
  await store.flushAll(() => false);
  await append(store, MUCH, 2);
  await append(store, LITTLE, 1);
  await store.close();
  expect(fs.existsSync(statePath(directory, MUCH))).toBe(true);
  expect(fs.existsSync(statePath(directory, LITTLE))).toBe(false);
}

test("a start reads the log behind what was flushed, and nothing before it", async () => {
  await filled();
  const bytesOf = async (keepsPositions: boolean): Promise<{ bytes: number; records: number }> => {
    const store = await open(keepsPositions);
    expect([seqs(store, MUCH), seqs(store, LITTLE)]).toEqual([62, 4]);
    const { bytes, records } = store.recovery;
    await store.close();
    return { bytes, records };
  };
  const behind = await bytesOf(true);
  const all = await bytesOf(false);
  expect([behind.records, all.records]).toEqual([3, 3]);
  expect(behind.bytes * 10).toBeLessThan(all.bytes);
  const { findings } = await verifyDirectory(directory, { companions: { constant: [], changing: [] } });
  expect(findings.filter(({ file }) => file.startsWith("shards"))).toEqual([]);
});

test("a position beyond what was flushed is not believed: an earlier state of the shard was put back", async () => {
  await filled();
  const segments = openSegmentStore({ dir: directory, keepsPositions: true });
  const { flushedThrough, flushedPosition } = segments.reach(LITTLE);
  expect([flushedThrough as number, flushedPosition! > 0]).toEqual([3, true]);
  await segments.close();
  const db = openForReading(recentPath(directory), RECENT_FORMAT, "written");
  db.pragma("query_only = 0");
  const { rowCrc } = await import("../../../storage/files/sqlite/row-crc.ts");
  const row = [LITTLE, 9, 99] as const;
  db.sql("INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?)").run(...row, rowCrc("position", row));
  db.close();
  const store = await open();
  expect(seqs(store, LITTLE)).toBe(4);
  await store.close();
});

test("directories of the local log have no positions: their bytes are as before", async () => {
  const store = await openLogStore({ directory }, QUIET);
  await append(store, LITTLE, 3);
  await store.flushAll(() => false);
  await store.close();
  const db = openForReading(recentPath(directory), RECENT_FORMAT, "written");
  const names = db.sql("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all<{ name: string }>();
  db.close();
  expect(names.map(({ name }) => name)).toEqual(["page", "shard"]);
});
