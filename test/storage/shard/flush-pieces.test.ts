/** What the event loop does at once when much is flushed: in records that are copied, shards that are begun, bytes. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { FlushJob } from "../../../storage/files/segment-store.ts";
import type { LogStore } from "../../../storage/log-store.ts";
import type { Seq } from "../../../storage/types.ts";
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

const bytesOf = ({ image }: FlushJob): number => image.reduce((bytes, part) => bytes + part.length, 0);

test("a flush of 128 MiB copies no record: the worker gets the memory in which they are read meanwhile", async () => {
  await append(8, 16, 256 * MIB);
  const read = store.opened().flatMap((log) => log.readForward("@alice", 0 as Seq, 1000));
  isReleased = true;
  await store.flushAll(() => false);
  expect(begun.reduce((sum, job) => sum + bytesOf(job), 0)).toBeGreaterThan(128 * MIB);
  const handed = new Set<ArrayBufferLike>(begun.flatMap(({ image }) => image.map(({ buffer }) => buffer)));
  for (const memory of handed) expect(memory).toBeInstanceOf(SharedArrayBuffer);
  expect(read.length).toBe(128 * 16);
  expect(read.filter(({ payload }) => !handed.has(payload.buffer))).toEqual([]);
});

test("shards that grow too large together are frozen one after the other, as the worker comes to them", async () => {
  await append(7, 2, 16 * MIB);
  expect(begun.length).toBe(1);
  isReleased = true;
  await until("all are flushed", () => segments.flushed.length === 7);
});
