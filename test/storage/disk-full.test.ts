/** The log store with its real segments on a disk that is full: flushes fail in the worker, nothing is lost, and all resumes. */
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLogStore } from "../../storage/open-store.ts";
import { openSegmentStore } from "../../storage/files/sqlite-segments.ts";
import type { SegmentStore } from "../../storage/files/segment-store.ts";
import { smallDisk, type SmallDisk } from "../support/small-disk.ts";
import { until } from "../support/wait.ts";
import { LogHistory } from "./log-history.ts";
import { entry, QUIET } from "./log-fixture.ts";

type Full = SmallDisk & { segments?: SegmentStore };

/** Where nothing can be mounted: a disk like any other, whose flushes are told that it is full. */
function toldFull(): Full {
  const path = mkdtempSync(join(tmpdir(), "told-full-"));
  const segments = openSegmentStore({ dir: path });
  const flush = segments.flush.bind(segments);
  let isFull = false;
  const full = (): Error => Object.assign(new Error("ENOSPC: told"), { code: "ENOSPC" });
  segments.flush = (job) => (isFull ? Promise.reject(full()) : flush(job));
  return {
    path,
    segments,
    fill: () => void (isFull = true),
    release: () => void (isFull = false),
    remove: () => rmSync(path, { recursive: true }),
  };
}

/** What no packing makes smaller than half: pages that SQLite has to spare must not hold it all. */
function unpackable(): string {
  return Array.from({ length: 40 }, () => crypto.randomUUID()).join("");
}

test("flushes that fail because the disk is full lose nothing, are repeated, and let the log go", async () => {
  const disk: Full = smallDisk(48) ?? toldFull();
  const history = new LogHistory();
  const failures: string[] = [];
  const options = {
    directory: disk.path,
    walFileBytes: 256 << 10,
    memtableBytesMax: 64 << 20,
    walBytesMax: 32 << 20,
    markAfterMs: 0,
  };
  const store = await openLogStore(
    { ...options, ...(disk.segments && { segments: disk.segments }) },
    {
      ...QUIET,
      onFlushFailure: (error) => void failures.push(String((error as { code?: string }).code)),
    },
  );
  try {
    const write = async (): Promise<void> => {
      for (let n = 0; n < 40; n++) history.append(store, [entry(unpackable()), entry("other", 8)]);
      await store.idle();
    };
    // More than what a flush could find in its files, and all of it in memory still.
    for (let n = 0; n < 40; n++) await write();
    disk.fill();
    const flushing = store.flushAll(() => failures.length > 0);
    await until("a flush has failed", () => failures.length > 0);
    await flushing;
    expect(failures[0]).toBe("ENOSPC");
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
    const again = await openLogStore(options, QUIET);
    history.expectIn(again);
    await again.close();
  } finally {
    disk.release();
    await store.close().catch(() => {});
    disk.remove();
  }
});
