/** The log store with its real segments on a disk that is full: flushes fail in the worker, nothing is lost, and all resumes. */
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogStore } from "../../storage/log-store.ts";
import { PREPARED_NAME } from "../../storage/wal/wal-files.ts";
import { smallDisk, type SmallDisk } from "../support/small-disk.ts";
import { until } from "../support/wait.ts";
import { LogHistory } from "./log-history.ts";
import { entry, QUIET } from "./log-fixture.ts";

/** Where nothing can be mounted, a file in the way of the segments' directory stands for a disk that takes nothing. */
function blocked(): SmallDisk {
  const path = mkdtempSync(join(tmpdir(), "blocked-disk-"));
  const obstacle = join(path, "shards");
  return {
    path,
    fill: () => void Bun.spawnSync(["touch", obstacle]),
    release: () => rmSync(obstacle, { force: true }),
    remove: () => rmSync(path, { recursive: true }),
  };
}

test("flushes that fail because the disk is full lose nothing, are repeated, and let the log go", async () => {
  const disk = smallDisk(48) ?? blocked();
  const history = new LogHistory();
  const failures: string[] = [];
  const options = {
    directory: disk.path,
    walFileBytes: 256 << 10,
    memtableBytesMax: 256 << 10,
    walBytesMax: 1 << 20,
    markAfterMs: 0,
  };
  const store = await LogStore.open(options, {
    ...QUIET,
    onFlushFailure: (error) => void failures.push(String((error as { code?: string }).code)),
  });
  try {
    // More than the files that are open already could take.
    const write = async (): Promise<void> => {
      for (let n = 0; n < 40; n++) history.append(store, [entry(crypto.randomUUID().repeat(40)), entry("other", 8)]);
      await store.idle();
    };
    // The log has room of its own by then: what fails first is a flush.
    const isPrepared = (): boolean => readdirSync(join(disk.path, "wal")).includes(PREPARED_NAME);
    for (let n = 0; n < 3; n++) await write();
    await until("the next file is prepared", isPrepared);
    await write();
    await until("the one after it is prepared", isPrepared);
    disk.fill();
    for (let n = 0; n < 12 && store.pressure <= 1; n++) await write();
    const flushing = store.flushAll(() => failures.length > 0);
    await until("a flush has failed", () => failures.length > 0);
    await flushing;
    expect(new Set(failures).size).toBe(1);
    history.expectIn(store);
    disk.release();
    await until("new work is taken", () => store.pressure <= 1);
    await write();
    expect(history.failed).toEqual([]);
    history.expectIn(store);
    const logFiles = (): number => readdirSync(join(disk.path, "wal")).filter((name) => name.endsWith(".wal")).length;
    // One that has failed waits for its next try.
    await until("all is flushed", () => store.flushAll(() => false).then(() => logFiles() === 1));
    await store.close();
    const again = await LogStore.open(options, QUIET);
    history.expectIn(again);
    await again.close();
  } finally {
    disk.release();
    await store.close().catch(() => {});
    disk.remove();
  }
});
