import { expect, test } from "bun:test";
import type { LogStore } from "../../../storage/log-store.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { openStore } from "../log-fixture.ts";
import { MemorySegments } from "../files/memory-segments.ts";
import { SimulatedDisk } from "../vfs/simulated-disk.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Appends entries to one stream; what became of each is added to `events`. */
class Writer {
  readonly events: string[] = [];
  readonly #store: LogStore;
  readonly #handle = new StreamHandle("@alice", undefined);
  #seq = 0;

  constructor(store: LogStore) {
    this.#store = store;
  }

  append(bytes: number, committed: () => void = () => {}): void {
    const log = this.#store.shard(7 as ShardId);
    const seq = ++this.#seq;
    log.append({
      encode: () => {
        log.beginEntry(this.#handle, "", "", seq as Seq, bytes);
        log.writer.utf8("x".repeat(bytes));
        log.endEntry();
      },
      committed: () => {
        this.events.push(`committed ${seq}`);
        committed();
      },
      failed: () => void this.events.push(`failed ${seq}`),
    });
  }

  /** Until a write is under way. */
  async writing(disk: SimulatedDisk): Promise<void> {
    const before = disk.count("write");
    for (let turns = 0; disk.count("write") === before; turns++) {
      if (turns > 100) throw new Error("nothing is written");
      await turn();
    }
  }
}

test("a full frame is written while the owners of the one before are told, a smaller one with what they append in return", async () => {
  for (const [bytes, writesWhenTold] of [
    [1000, 1],
    [10, 0],
  ] as const) {
    const disk = new SimulatedDisk();
    const store = await openStore(disk, { fullFrameBytes: 500, walFileBytes: 1 << 20 });
    const writer = new Writer(store);
    let begun = 0;
    writer.append(10, () => {
      begun = disk.count("write");
      writer.append(10);
    });
    await writer.writing(disk);
    const before = disk.count("write");
    writer.append(bytes);
    await store.idle();
    expect(begun - before).toBe(writesWhenTold);
    expect(disk.count("write") - before).toBe(1 + writesWhenTold);
    expect(writer.events).toEqual(["committed 1", "committed 2", "committed 3"]);
    await store.close();
  }
});

test("a frame that fails at once does not tell its owners before those of the frame in front of it", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { fullFrameBytes: 1 });
  const writer = new Writer(store);
  writer.append(10);
  await writer.writing(disk);
  // It needs another file, which cannot be made.
  disk.fail("open", 1);
  writer.append(5000);
  await store.idle();
  expect(writer.events).toEqual(["committed 1", "failed 2"]);
  expect(store.failed).toBeDefined();
  await store.close();
});

test("a log file is kept for a record in it that took effect when the next file had been begun", async () => {
  const disk = new SimulatedDisk();
  const segments = new MemorySegments();
  const store = await openStore(disk, { fullFrameBytes: 1, segments });
  const writer = new Writer(store);
  writer.append(10);
  await writer.writing(disk);
  const first = store.shard(7 as ShardId);
  writer.append(5000);
  await store.idle();
  const [oldest, newest] = disk.paths().filter((path) => path.endsWith(".wal"));
  expect([oldest, newest]).toEqual(["/data/wal/0000000001.wal", "/data/wal/0000000002.wal"]);
  expect(first.oldestPosition as number).toBe(1);
  await store.close();
});
