/** Calls to the disk that fail: who is told, what can still be read, what is there afterwards. */
import { describe, expect, test } from "bun:test";
import { StreamHandle } from "../../storage/shard/staged-record.ts";
import type { LogStore } from "../../storage/log-store.ts";
import type { ShardId } from "../../storage/types.ts";
import { LogHistory } from "./log-history.ts";
import { entry, openStore, QUIET, WAL_DIRECTORY } from "./log-fixture.ts";
import { MemorySegments } from "./files/memory-segments.ts";
import { randomFrom } from "../support/random.ts";
import { SimulatedDisk, type CallKind } from "./vfs/simulated-disk.ts";
import { until } from "../support/wait.ts";

const SMALL = { fullFrameBytes: 300, walFileBytes: 1500, walBytesMax: 4500, memtableBytesMax: 2500 };
const BATCHES = 40;

type Life = {
  disk: SimulatedDisk;
  segments: MemorySegments;
  history: LogHistory;
  store: LogStore;
  failures: number;
  told: number;
};

/** Goes on with what is on disk, as often as it takes; whoever only reads is served meanwhile. */
async function reopen(life: Life): Promise<void> {
  const failed = life.store;
  life.history.expectIn(failed);
  for (let tries = 0; life.store === failed; tries++) {
    if (tries === 3) throw new Error("it cannot be opened again");
    life.store = await failed.reopen({ ...QUIET, onFailure: () => life.told++ }).catch(() => failed);
    life.history.expectIn(failed);
  }
  life.history.expectIn(life.store);
  await expectStays(life);
  life.history.reopened(life.store);
}

/** What is shown after a failed write, which the system may hold for written, is on the disk. */
async function expectStays({ disk, segments, history, store }: Life): Promise<void> {
  const cut = disk.afterCrash("power", randomFrom(disk.calls));
  const later = await openStore(cut, { ...SMALL, segments: MemorySegments.of(segments.flushed) });
  for (const shard of history.records.keys()) {
    expect(later.shard(shard as ShardId).durableThrough).toBe(store.shard(shard as ShardId).durableThrough);
  }
  await later.close();
}

/** The number of the first write, from `from` on, without which the log fails. */
async function fatalWrite(from: number, code: string): Promise<number> {
  for (let nth = from; ; nth++) {
    const disk = new SimulatedDisk();
    disk.fail("write", nth, code, "part");
    const life = await live(disk);
    await end(life);
    if (life.failures > 0) return nth;
  }
}

/** A life with rotation, flushes and trims; a failed log is opened again. */
async function live(disk: SimulatedDisk): Promise<Life> {
  const hooks = { onFailure: () => void life.told++ };
  const segments = new MemorySegments();
  const life: Life = { disk, segments, history: new LogHistory(), store: undefined as never, failures: 0, told: 0 };
  life.store = await openStore(disk, { ...SMALL, segments }, hooks).catch(() =>
    openStore(disk, { ...SMALL, segments }, hooks),
  );
  for (let n = 0; n < BATCHES; n++) {
    const { history } = life;
    const failedBefore = history.failed.length;
    // Opened without a file to write to: whoever opened it could see so.
    if (life.store.failed !== undefined) life.told++;
    history.append(life.store, [entry(`message ${n} ${"long ".repeat(n % 17)}`), entry(`other ${n}`, 8, "@bob")]);
    await life.store.idle();
    if (life.store.failed === undefined) expect(history.failed.length).toBe(failedBefore);
    else {
      life.failures++;
      const batch = history.batches.at(-1)!;
      expect(history.failed.length - failedBefore).toBe(batch.length);
      // Nothing later is accepted.
      history.append(life.store, [entry("too late")]);
      await life.store.idle();
      expect(history.failed.length - failedBefore).toBe(batch.length + 1);
      expect(life.store.pressure).toBe(Number.POSITIVE_INFINITY);
      history.records.get(7)!.pop();
      history.batches.pop();
      await reopen(life);
    }
  }
  life.history.expectIn(life.store);
  return life;
}

async function callsOf(kind: CallKind): Promise<number> {
  const disk = new SimulatedDisk();
  const { store } = await live(disk);
  await store.close();
  return disk.count(kind);
}

async function end({ disk, store }: Life): Promise<void> {
  await store.close().catch(() => {});
  expect(disk.handlesOpen).toBe(0);
}

describe.each(["EIO", "ENOSPC"])("the Nth call that fails with %s", (code) => {
  describe.each(["nothing", "part", "all"] as const)("having done %s of its work", (does) => {
    test.each(["write", "open", "rename", "truncate", "syncDirectory", "read"] as CallKind[])(
      "%s, whichever: every owner is told, nothing later is accepted, and all acknowledged is there when it is opened again",
      async (kind) => {
        const calls = await callsOf(kind);
        let failures = 0;
        for (let nth = 1; nth <= calls; nth++) {
          const disk = new SimulatedDisk();
          disk.fail(kind, nth, code, does);
          const life = await live(disk);
          expect(life.told).toBe(life.failures);
          failures += life.failures;
          await end(life);
        }
        if (kind === "write" || kind === "open") expect(failures).toBeGreaterThan(0);
      },
    );
  });

  test.each(["read", "truncate", "open", "write", "syncDirectory"] as CallKind[])(
    "%s, while a failed log is opened again: the failed one is read until the next try",
    async (kind) => {
      const fatal = await fatalWrite(20, code);
      for (const nth of [1, 2, 3]) {
        const disk = new SimulatedDisk();
        disk.fail("write", fatal, code, "part");
        const quiet = new SimulatedDisk();
        quiet.fail("write", fatal, code, "part");
        let before = 0;
        quiet.onCall = () => (before = quiet.count("write") < fatal ? quiet.count(kind) : before);
        await end(await live(quiet));
        disk.fail(kind, before + nth + (kind === "write" ? 1 : 0), code, "nothing");
        const life = await live(disk);
        expect(life.failures).toBeGreaterThan(0);
        await end(life);
      }
    },
  );

  test.each(["remove", "fillZeros"] as CallKind[])("%s: stops nothing and loses nothing", async (kind) => {
    const calls = await callsOf(kind);
    expect(calls).toBeGreaterThan(0);
    for (let nth = 1; nth <= calls; nth++) {
      const disk = new SimulatedDisk();
      disk.fail(kind, nth, code, "part");
      const life = await live(disk);
      expect(life.failures).toBe(0);
      await end(life);
    }
  });
});

test("a log file that cannot be removed is removed by the next trim", async () => {
  const disk = new SimulatedDisk();
  const history = new LogHistory();
  const store = await openStore(disk, SMALL);
  const write = async (): Promise<void> => {
    for (let n = 0; n < 20; n++) {
      history.append(store, [entry(`message ${n} ${"long ".repeat(20)}`)]);
      await store.idle();
    }
    await store.flushAll(() => false);
  };
  const logFiles = (): number => disk.paths().filter((path) => path.endsWith(".wal")).length;
  disk.fail("remove", 1, "EIO");
  await write();
  await write();
  expect(logFiles()).toBe(1);
  history.expectIn(store);
  await store.close();
});

test("a store whose disk is full at the start is read, refuses, and takes records as soon as there is room", async () => {
  const disk = new SimulatedDisk();
  const history = new LogHistory();
  const first = await openStore(disk);
  history.append(first, [entry("before")]);
  await first.idle();
  await first.close();
  // After the line about the log's extent, and the end of its last file.
  disk.fail("open", 3, "ENOSPC");
  disk.freeBytes = 0;
  const full = await openStore(disk);
  history.expectIn(full);
  expect(full.pressure).toBe(Number.POSITIVE_INFINITY);
  expect(full.shortage).toBe("disk full");
  expect(await full.hasRoom()).toBe(false);
  disk.freeBytes = 1 << 30;
  expect(await full.hasRoom()).toBe(true);
  const store = await full.reopen(QUIET);
  history.append(store, [entry("after")]);
  await store.idle();
  expect(history.failed).toEqual([]);
  history.expectIn(store);
  await store.close();
});

test("a disk that is filling up refuses new work before a write fails, and takes it again when there is room", async () => {
  const disk = new SimulatedDisk();
  const history = new LogHistory();
  const store = await openStore(disk);
  const write = async (): Promise<void> => {
    history.append(store, [entry("some text ".repeat(20))]);
    await store.idle();
  };
  for (let n = 0; n < 30; n++) await write();
  expect(store.pressure).toBeLessThan(1);
  disk.freeBytes = 0;
  while (store.pressure <= 1) await write();
  expect(store.shortage).toBe("disk full");
  expect(history.failed).toEqual([]);
  // What was under way finds room all the same.
  await write();
  expect(history.failed).toEqual([]);
  expect(disk.paths()).not.toContain(`${WAL_DIRECTORY}/prepared.next`);
  disk.freeBytes = 1 << 30;
  await until("there is room again", () => store.pressure <= 1);
  await write();
  expect(history.failed).toEqual([]);
  history.expectIn(store);
  await store.close();
});

test("while there is hardly any room, records that can wait are not asked for; they are when there is room", async () => {
  const disk = new SimulatedDisk();
  const history = new LogHistory();
  let asked = 0;
  const store = await openStore(disk, {}, { beforeWrite: () => void asked++ });
  const write = async (): Promise<void> => {
    history.append(store, [entry("some text ".repeat(20))]);
    await store.idle();
  };
  for (let n = 0; n < 30; n++) await write();
  disk.freeBytes = 0;
  while (store.pressure <= 1) await write();
  for (let askedBefore = -1; asked !== askedBefore;) {
    askedBefore = asked;
    await write();
  }
  disk.freeBytes = 1 << 30;
  const askedBefore = asked;
  await until("they are asked for", () => asked > askedBefore);
  await store.idle();
  await store.close();
});

test("a flush that fails for long loses nothing, holds new work back before memory runs out, and resumes", async () => {
  const disk = new SimulatedDisk();
  const history = new LogHistory();
  const segments = new MemorySegments();
  let isFull = true;
  let failures = 0;
  segments.beforeFlush = async () => {
    if (isFull) throw Object.assign(new Error("no space"), { code: "ENOSPC" });
  };
  const store = await openStore(disk, { ...SMALL, segments }, { onFlushFailure: () => void failures++ });
  let bytes = 0;
  while (store.pressure <= 1) {
    history.append(store, [entry("some text ".repeat(20)), entry("other", 8)]);
    await store.idle();
    bytes += 300;
    if (bytes > 100 * SMALL.memtableBytesMax) throw new Error("nothing holds the writer back");
  }
  // Not that memory is full: why it is.
  expect(store.shortage).toBe("disk full");
  // Four times what begins a flush, and one record.
  expect(bytes).toBeLessThan(5 * SMALL.memtableBytesMax);
  expect(failures).toBeGreaterThan(0);
  expect(segments.flushed).toEqual([]);
  history.expectIn(store);
  isFull = false;
  await until("the flush is made up for", () => store.pressure < 1);
  await store.flushAll(() => false);
  expect(segments.reach(7 as ShardId).flushedThrough).toBe(store.shard(7 as ShardId).durableThrough);
  expect(disk.paths().filter((path) => path.endsWith(".wal")).length).toBe(1);
  history.expectIn(store);
  await store.close();
});

test("a writer that never pauses is held back while a write is under way, before 16 MiB and a record wait", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { walFileBytes: 64 << 20, memtableBytesMax: 1 << 30 });
  const log = store.shard(7 as ShardId);
  const payload = Buffer.alloc(64 << 10, "x");
  let written = 0;
  while (store.pressure <= 1) {
    const handle = new StreamHandle("@alice", undefined);
    log.append({ encode: () => log.putCell(handle, "a", payload), committed() {}, failed() {} });
    written += payload.length;
  }
  expect(written).toBeLessThan((16 << 20) + 2 * payload.length);
  expect(store.shortage).toBe("log behind");
  await store.idle();
  expect(store.pressure).toBeLessThan(1);
  await store.close();
});

test("a log that rests gets a mark; one that goes on does not", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { markAfterMs: 20 });
  const history = new LogHistory();
  history.append(store, [entry("one")]);
  await store.idle();
  const frame = disk.bytes(`${WAL_DIRECTORY}/0000000001.wal`).length;
  await until("the mark is there", () => disk.bytes(`${WAL_DIRECTORY}/0000000001.wal`).length > frame);
  await store.idle();
  expect(disk.bytes(`${WAL_DIRECTORY}/0000000001.wal`).length).toBe(frame + 24);
  const again = await openStore(disk.afterCrash("power", () => 0));
  expect(again.recovery.isMarked).toBe(true);
  history.expectIn(again);
  await again.close();
  await store.close();
});
