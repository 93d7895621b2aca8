/** One shard that cannot be flushed for long, for a reason of its own that is no damage: what that costs the others. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { LogStore } from "../../../storage/log-store.ts";
import type { LogStoreOptions } from "../../../storage/store-options.ts";
import { until } from "../../support/wait.ts";
import { entry, openStore, QUIET } from "../log-fixture.ts";
import { LogHistory } from "../log-history.ts";
import { MemorySegments } from "../files/memory-segments.ts";
import { SimulatedDisk } from "../vfs/simulated-disk.ts";

const BAD = 7;
const LARGE = "x".repeat(1100 << 10);
const noAccess = (): Error => Object.assign(new Error("EACCES: injected"), { code: "EACCES" });

let disk: SimulatedDisk;
let segments: MemorySegments;
let history: LogHistory;
let store: LogStore;
/** Flushes of the bad shard that were tried, and whether they fail. */
let tries: number;
let isBad: boolean;

beforeEach(() => {
  disk = new SimulatedDisk();
  segments = new MemorySegments();
  history = new LogHistory();
  tries = 0;
  isBad = true;
  segments.beforeFlush = async ({ shard }) => {
    if (shard !== BAD) return;
    tries++;
    if (isBad) throw noAccess();
  };
});
afterEach(() => store.close());

async function start(
  options: Partial<LogStoreOptions> = {},
  hooks: Parameters<typeof openStore>[2] = {},
): Promise<void> {
  store = await openStore(disk, { segments, walFileBytes: 4 << 20, walBytesMax: 1 << 30, ...options }, hooks);
}

async function append(payload: string, shard: number): Promise<void> {
  history.append(store, [entry(payload, shard)]);
  await store.idle();
}

const flushedShards = (): Set<number> => new Set(segments.flushed.map(({ shard }) => shard as number));

test("while one shard cannot be flushed, the others are flushed at once, and it is tried again every second", async () => {
  await start();
  await append(LARGE, BAD);
  await until("it has failed twice", () => tries >= 2);
  for (let shard = 10; shard < 20; shard++) await append(LARGE, shard);
  await until("the others are flushed", () => flushedShards().size === 10 || tries >= 5);
  expect(flushedShards().size).toBe(10);
  expect(store.pressure).toBeLessThan(1);
  isBad = false;
  await until("it is flushed", () => flushedShards().has(BAD));
  await until("all is flushed", () => disk.paths().filter((path) => path.endsWith(".wal")).length === 1);
  history.expectIn(store);
});

test("a checkpoint that throws for one shard keeps no other from being flushed", async () => {
  let asked = 0;
  const checkpoint = ({ shard }: { shard: number }): Uint8Array<ArrayBuffer> => {
    if (shard === BAD && isBad) {
      asked++;
      throw new Error("injected");
    }
    return new Uint8Array(0);
  };
  await start({}, { checkpoint });
  await append(LARGE, BAD);
  await until("it has failed twice", () => asked >= 2);
  for (let shard = 10; shard < 20; shard++) await append(LARGE, shard);
  await until("the others are flushed", () => flushedShards().size === 10 || asked >= 5);
  expect(flushedShards().size).toBe(10);
  isBad = false;
  await until("it is flushed", () => flushedShards().has(BAD));
});

test("a log that one shard keeps from being trimmed makes nobody else flush with every message", async () => {
  await start({ walFileBytes: 4000, walBytesMax: 8000, memtableBytesMax: 64 << 20 });
  for (let n = 0; n < 60; n++) await append(`${n} ${"long ".repeat(100)}`, BAD);
  await until("it has failed twice", () => tries >= 2);
  const before = segments.flushed.length;
  for (let n = 0; n < 100; n++) await append(`message ${n}`, 8);
  expect(segments.flushed.length - before).toBeLessThan(5);
  isBad = false;
  await until("the log is trimmed", () => disk.paths().filter((path) => path.endsWith(".wal")).length < 4);
  history.expectIn(store);
});

test("a store whose flush is still under way is not opened again beside it", async () => {
  let release: (() => void) | undefined;
  segments.beforeFlush = () => new Promise((resolve) => (release = resolve));
  await start({ flushWaitMs: 20 });
  await append(LARGE, 8);
  await until("a flush is under way", () => release !== undefined);
  disk.fail("write", 1);
  await append("fails", 9);
  expect(store.failed).toBeDefined();
  const failed = store;
  await expect(failed.reopen({ ...QUIET })).rejects.toThrow("a flush is still under way");
  history.reopened(failed);
  history.expectIn(failed);
  segments.beforeFlush = async () => {};
  release!();
  store = await failed.reopen({ ...QUIET });
  history.reopened(store);
  history.expectIn(store);
  await append("after", 8);
  history.expectIn(store);
});
