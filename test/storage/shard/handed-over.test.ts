/** What a store that follows a failed one shares with it goes on to work once nothing of the failed one is left. */
import { expect, test } from "bun:test";
import { CorruptionError } from "../../../storage/errors.ts";
import type { LogStore } from "../../../storage/log-store.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { LogHistory } from "../log-history.ts";
import { entry, openStore, QUIET, WAL_DIRECTORY } from "../log-fixture.ts";
import { MemorySegments } from "../files/memory-segments.ts";
import { SimulatedDisk } from "../vfs/simulated-disk.ts";

test("a shard found damaged after the log was opened anew is noted, and the log is let go, also when the failed log is gone", async () => {
  const disk = new SimulatedDisk();
  const segments = new MemorySegments();
  const failures: unknown[] = [];
  const hooks = { ...QUIET, onFlushFailure: (error: unknown) => void failures.push(error) };
  const store = await openStore(disk, { damage: "close", segments, walFileBytes: 300 }, hooks);
  const history = new LogHistory();
  history.append(store, [entry("one"), entry("two", 8)]);
  await store.idle();
  disk.fail("write", 1);
  history.append(store, [entry("never written", 8)]);
  await store.idle();
  const next = await store.reopen(hooks);
  history.reopened(next);
  const append = async (text: string, shard: number): Promise<void> => {
    history.append(next, [entry(text, shard)]);
    await next.idle();
  };
  const flushOthers = async (): Promise<void> => {
    for (let n = 0; n < 6; n++) await append(`more ${n}`, 8);
    await next.flushAll(() => false);
  };
  await flushOthers();
  expect(disk.paths()).not.toContain(`${WAL_DIRECTORY}/0000000001.wal`);
  await append("in the log", 7);
  segments.onDamage(7 as ShardId, new CorruptionError("/data/shards/007/state.db", "table page", "changed"));
  expect(failures).toEqual([]);
  expect(disk.paths()).toContain("/data/damaged/shards");
  const oldest = disk.paths().find((path) => path.endsWith(".wal"));
  await flushOthers();
  expect(failures).toEqual([]);
  expect(disk.paths()).not.toContain(oldest!);
  await next.close();
});

test("of two stores that follow a failed one only the later writes: nothing that either has acknowledged is lost", async () => {
  const disk = new SimulatedDisk();
  const segments = new MemorySegments();
  const store = await openStore(disk, { segments });
  const history = new LogHistory();
  history.append(store, [entry("one")]);
  await store.idle();
  disk.fail("write", 1);
  history.append(store, [entry("never written")]);
  await store.idle();
  const acked: string[] = [];
  const write = async (to: LogStore, text: string): Promise<void> => {
    const log = to.shard(7 as ShardId);
    const handle = new StreamHandle("@alice", log.head("@alice"));
    log.append({
      encode() {
        log.beginEntry(handle, "", "", (handle.headSeq + 1) as Seq, text.length);
        log.writer.utf8(text);
        log.endEntry();
      },
      committed: () => void acked.push(text),
      failed() {},
    });
    await to.idle();
  };
  const unused = await store.reopen(QUIET);
  await write(unused, "before the later one");
  const next = await store.reopen(QUIET);
  await write(unused, "beside the later one");
  await write(next, "by the later one");
  const handles = disk.handlesOpen;
  await next.close();
  const again = await openStore(disk, { segments });
  const found = again.shard(7 as ShardId).readForward("@alice", 0 as Seq, 100);
  expect(found.map(({ payload }) => Buffer.from(payload).toString())).toEqual(["one", ...acked]);
  expect(acked).toEqual(["before the later one", "by the later one"]);
  expect(handles).toBe(1);
  await again.close();
});

test("tries to follow a failed store that come to nothing leave no log files behind", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  const history = new LogHistory();
  history.append(store, [entry("one")]);
  await store.idle();
  disk.fail("write", 1);
  history.append(store, [entry("never written")]);
  await store.idle();
  for (let n = 0; n < 5; n++) await store.reopen(QUIET);
  await store.close();
  expect(disk.handlesOpen).toBe(0);
  expect(disk.paths().filter((path) => path.endsWith(".wal"))).toHaveLength(1);
});
