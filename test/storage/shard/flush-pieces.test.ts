/** What the event loop does at once when much is flushed: in records that are copied, shards that are begun, bytes. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { FlushJob } from "../../../storage/files/segment-store.ts";
import type { LogStore } from "../../../storage/log-store.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import { until } from "../../support/wait.ts";
import { MemorySegments } from "../files/memory-segments.ts";
import { entry, openStore } from "../log-fixture.ts";
import { LogHistory } from "../log-history.ts";
import { SimulatedDisk } from "../vfs/simulated-disk.ts";

const MIB = 1 << 20;
const PAYLOAD = "x".repeat(64 << 10);

let segments: MemorySegments;
let store: LogStore;
let begun: FlushJob[];
/** Flushes wait until there is one. */
let isReleased: boolean;

beforeEach(() => {
  segments = new MemorySegments();
  begun = [];
  isReleased = false;
  segments.beforeFlush = async (job) => {
    begun.push(job);
    await until("flushes may end", () => isReleased);
  };
});
afterEach(async () => {
  isReleased = true;
  await store.close();
});

/** Appended in one turn: as much for each of so many shards. */
async function append(shards: number, mibOfEach: number, memtableBytesMax: number): Promise<void> {
  const limits = { walFileBytes: 256 * MIB, walBytesMax: 1024 * MIB, memtableBytesMax };
  store = await openStore(new SimulatedDisk(), { segments, ...limits });
  const count = Math.ceil((mibOfEach * MIB) / PAYLOAD.length) * shards;
  new LogHistory().append(
    store,
    Array.from({ length: count }, (_, at) => entry(PAYLOAD, at % shards)),
  );
  await store.idle();
}

const isFlushing = (log: ShardLog): boolean => log.isFlushing;
const bytesOf = ({ image }: FlushJob): number => image.reduce((bytes, part) => bytes + part.length, 0);

test("a flush of 128 MiB copies no record: the worker gets the memory in which they are read meanwhile", async () => {
  await append(8, 16, 256 * MIB);
  const memory = new Set(store.opened().flatMap((log) => log.memtable.image().map(({ buffer }) => buffer)));
  isReleased = true;
  await store.flushAll(() => false);
  expect(begun.reduce((sum, job) => sum + bytesOf(job), 0)).toBeGreaterThan(128 * MIB);
  const handed = new Set<ArrayBufferLike>(begun.flatMap(({ image }) => image.map(({ buffer }) => buffer)));
  expect(handed.size).toBe(memory.size);
  for (const buffer of handed) {
    expect(buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(memory.has(buffer)).toBe(true);
  }
});

test("what is in memory goes down by what is flushed at once, and not by half", async () => {
  await append(64, 0.25, 15 * MIB);
  expect(begun.length).toBeGreaterThan(1);
  isReleased = true;
  await until(
    "no flush is under way",
    () => segments.flushed.length === begun.length && !store.opened().some(isFlushing),
  );
  const left = store.opened().reduce((sum, log) => sum + log.memtable.bytes, 0);
  expect(left).toBeLessThan(13 * MIB);
  expect(left).toBeGreaterThan(10 * MIB);
});

test("shards that grow too large together are frozen one after the other, as the worker comes to them", async () => {
  await append(7, 2, 16 * MIB);
  expect(begun.length).toBe(1);
  isReleased = true;
  await until("all are flushed", () => segments.flushed.length === 7);
});
