/** A log that failed is read back in steps: whoever reads what was committed, and everything else in the process, goes on. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLogStore } from "../../storage/open-store.ts";
import type { ShardId } from "../../storage/types.ts";
import type { FileSystem } from "../../storage/vfs/file-system.ts";
import { FaultyFiles } from "../support/faulty-files.ts";
import { LogHistory } from "./log-history.ts";
import { entry, QUIET } from "./log-fixture.ts";
import { MemorySegments } from "./files/memory-segments.ts";

const SHARD = 7 as ShardId;
const RECORDS = 30_000;
/** Of a batch, and its bytes: 15 MiB in all, of which a step reads 256 KiB. */
const BATCH = 1000;
const TEXT = "x".repeat(460);

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "parley-reopen-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("while a log is opened anew the event loop turns many times, and what was committed is read", async () => {
  const faults = new FaultyFiles();
  const limits = { walFileBytes: 4 << 20, walBytesMax: 1 << 30, memtableBytesMax: 1 << 30 };
  let turns = 0;
  const readAt: number[] = [];
  const files: FileSystem = {
    ...faults.files,
    read(path, room) {
      readAt.push(turns);
      return faults.files.read(path, room);
    },
  };
  const options = { directory, files, segments: new MemorySegments(), ...limits };
  const failed = await openLogStore(options, QUIET);
  const history = new LogHistory();
  for (let n = 0; n < RECORDS; n += BATCH) {
    history.append(
      failed,
      Array.from({ length: BATCH }, () => entry(TEXT, SHARD)),
    );
    await failed.idle();
  }
  faults.failNextWrite("EIO");
  history.append(failed, [entry("lost", SHARD)]);
  await failed.idle();
  expect(failed.failed).toBeDefined();

  readAt.length = 0;
  let isDone = false;
  const turn = (): void => {
    if (isDone) return;
    turns++;
    expect(failed.shard(SHARD).durableThrough as number).toBe(RECORDS);
    setImmediate(turn);
  };
  turn();
  const reopened = await failed.reopen(QUIET);
  isDone = true;
  expect(reopened.shard(SHARD).durableThrough as number).toBe(RECORDS);
  expect(readAt.length).toBeGreaterThan(3);
  expect(readAt.at(-1)! - readAt[0]!).toBeGreaterThanOrEqual(2);
  await reopened.close();
});
