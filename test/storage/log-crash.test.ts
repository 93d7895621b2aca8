/** Random histories, a crash in every call to the file system, recovery, and everything that must hold afterwards. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { LogStore } from "../../storage/log-store.ts";
import { openLogStore } from "../../storage/open-store.ts";
import type { LogStoreHooks } from "../../storage/store-options.ts";
import type { ShardId } from "../../storage/types.ts";
import { LogHistory } from "./log-history.ts";
import { programs, type Step } from "./log-programs.ts";
import { MemorySegments } from "./files/memory-segments.ts";
import { randomFrom, type Random } from "../support/random.ts";
import { SimulatedDisk, type CrashKind } from "./vfs/simulated-disk.ts";
import { seeded } from "../support/seed.ts";

const hooks: LogStoreHooks = {
  checkpoint: () => new Uint8Array(0),
  beforeWrite: () => {},
  onFlushFailure: (error) => {
    throw error;
  },
  onListenerError: (error) => {
    throw error;
  },
  onFailure: () => {},
};

/** 1: every frame is written before the owners of the one before are told. */
function open(disk: SimulatedDisk, segments: MemorySegments, fullFrameBytes = 1): Promise<LogStore> {
  const limits = { fullFrameBytes, walFileBytes: 4000, walBytesMax: 16_000, memtableBytesMax: 3000, markAfterMs: 0 };
  return openLogStore({ directory: "/data", files: disk.files, segments, ...limits }, hooks);
}

/** What a crash at one moment would find. */
type Moment = {
  disk: SimulatedDisk;
  flushed: MemorySegments["flushed"];
  acked: Map<number, number>;
  kind: CrashKind;
  batches: LogHistory["batches"];
  records: LogHistory["records"];
};

/** Runs a program; `crashed` is called for what each crash would leave, once at every call to the disk. */
async function run(program: Step[], random: Random, fullFrameBytes: number): Promise<Moment[]> {
  const disk = new SimulatedDisk();
  const history = new LogHistory();
  const moments: Moment[] = [];
  let segments = new MemorySegments();
  disk.onCall = () => {
    for (const kind of ["kill", "power"] as const) {
      const records = new Map([...history.records].map(([shard, list]) => [shard, [...list]]));
      moments.push({
        disk: disk.afterCrash(kind, random),
        flushed: [...segments.flushed],
        acked: new Map(history.acked),
        kind,
        batches: [...history.batches],
        records,
      });
    }
  };
  let store = await open(disk, segments, fullFrameBytes);
  for (const step of program) {
    if (step.kind === "append") {
      history.append(store, step.batch);
      if (step.wait === "idle") await store.idle();
      else if (step.wait === "turn") await new Promise((resolve) => setImmediate(resolve));
    } else if (step.kind === "flush") await store.flushAll(() => false);
    else {
      await store.close();
      segments = MemorySegments.of(segments.flushed);
      store = await open(disk, segments, fullFrameBytes);
      history.reopened(store);
    }
  }
  await store.idle();
  history.expectIn(store);
  await store.close();
  expect(disk.handlesOpen).toBe(0);
  return moments;
}

function historyOf({ acked, batches, records }: Moment): LogHistory {
  const history = new LogHistory();
  for (const [shard, through] of acked) history.acked.set(shard, through);
  for (const [shard, list] of records) history.records.set(shard, list);
  history.batches.push(...batches);
  return history;
}

const extents = (store: LogStore, { records }: LogHistory): number[] =>
  [...records.keys()].map((shard) => store.shard(shard as ShardId).durableThrough);

async function expectRecovers(moment: Moment, random: Random): Promise<void> {
  const history = historyOf(moment);
  const { disk, flushed } = moment;
  const shown = await open(disk, MemorySegments.of(flushed));
  history.expectIn(shown);
  // It was shown, so a power cut may not take it back; and recovering once more finds the same.
  const again = disk.afterCrash("power", random);
  const store = await open(again, MemorySegments.of(flushed));
  history.expectIn(store);
  expect(extents(store, history)).toEqual(extents(shown, history));
  // Life goes on.
  history.reopened(store);
  history.append(store, [
    { shard: 7, ops: [{ kind: "entry", stream: "@bob", lane: "", key: "", payload: "after the crash" }] },
  ]);
  await store.idle();
  history.batches.length = 0;
  history.expectIn(store);
  await store.close();
  await shown.close();
}

test("after a crash in any call, all that was acknowledged is there, nothing in part, and it stays", async () => {
  const property = fc.asyncProperty(
    programs,
    fc.integer({ min: 0 }),
    fc.constantFrom(1, 500, 1 << 20),
    async (program, seed, fullFrameBytes) => {
      const random = randomFrom(seed);
      for (const moment of await run(program, random, fullFrameBytes)) await expectRecovers(moment, random);
    },
  );
  await fc.assert(property, { ...seeded(40), interruptAfterTimeLimit: 40_000 });
});
