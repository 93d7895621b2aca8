/** First openings that fail, and openings in which nothing is written: what they leave is opened by a later one, and nothing stays open. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CorruptionError } from "../../storage/errors.ts";
import { OPENINGS_NAME } from "../../storage/log/local/openings.ts";
import { openLogStore } from "../../storage/open-store.ts";
import { LOG_MISSING, openSegmentStore } from "../../storage/files/sqlite-segments.ts";
import type { SegmentStore } from "../../storage/files/segment-store.ts";
import { verifyDirectory } from "../../storage/tools/verify.ts";
import { realFileSystem, type FileSystem } from "../../storage/vfs/file-system.ts";
import { LogHistory } from "./log-history.ts";
import { entry, openStore, QUIET } from "./log-fixture.ts";
import { MemorySegments } from "./files/memory-segments.ts";
import { SimulatedDisk } from "./vfs/simulated-disk.ts";

let directory: string;
beforeEach(() => (directory = fs.mkdtempSync(join(tmpdir(), "first-openings-"))));
afterEach(() => fs.rmSync(directory, { recursive: true }));

const failure = (code: string): Error => Object.assign(new Error(code), { code });
const firstLog = (): string => join(directory, "wal", "0000000001.wal");

/** As on a disk that has room for a log file, and none for `recent.db`. */
function withoutRoom(): SegmentStore {
  const segments = openSegmentStore({ dir: directory });
  const begin = segments.begin.bind(segments);
  segments.begin = (isNew, onDamage) => {
    if (isNew) throw failure("ENOSPC");
    begin(isNew, onDamage);
  };
  return segments;
}

test("a directory that was begun on a full disk again and again is opened once there is room", async () => {
  for (let n = 0; n < 3; n++) {
    const store = await openLogStore({ directory, segments: withoutRoom() }, QUIET);
    expect(store.failed).toBeDefined();
    await store.close();
  }
  const store = await openLogStore({ directory }, QUIET);
  expect(store.failed).toBeUndefined();
  await store.close();
});

test.each([
  ["is empty", 0],
  ["is cut in its header", 20],
  ["is all zeros", 5000],
])("a log whose only file %s is told as missing, and the file is left as it is", async (_, bytes) => {
  const store = await openLogStore({ directory }, QUIET);
  new LogHistory().append(store, [entry("acknowledged")]);
  await store.close();
  fs.writeFileSync(firstLog(), Buffer.alloc(bytes));
  for (let n = 0; n < 2; n++)
    expect(await openLogStore({ directory }, QUIET).catch((error: unknown) => error)).toBeInstanceOf(CorruptionError);
  expect(fs.statSync(firstLog()).size).toBe(bytes);
  const { findings } = await verifyDirectory(directory, { companions: { constant: [], changing: [] } });
  expect(findings.map(({ what }) => what)).toContain(LOG_MISSING);
});

test("an opening that fails leaves no log file open", async () => {
  const disk = new SimulatedDisk();
  const segments = new MemorySegments();
  segments.begin = (isNew) => {
    if (isNew) throw failure("EIO");
  };
  expect(await openStore(disk, { segments }).catch((error: unknown) => error)).toHaveProperty("code", "EIO");
  expect(disk.handlesOpen).toBe(0);
});

test("a log whose last mark cannot be written is closed all the same, and the segments with it", async () => {
  const segments = openSegmentStore({ dir: directory });
  let isFailing = false;
  let closed = 0;
  const close = segments.close.bind(segments);
  segments.close = () => (closed++, close());
  const files: FileSystem = {
    ...realFileSystem,
    writeNow(...given) {
      if (isFailing) throw failure("EIO");
      realFileSystem.writeNow(...given);
    },
  };
  const store = await openLogStore({ directory, segments, files, markAfterMs: 0 }, QUIET);
  new LogHistory().append(store, [entry("one")]);
  await store.idle();
  isFailing = true;
  expect(await store.close().catch((error: unknown) => error)).toHaveProperty("code", "EIO");
  expect(closed).toBe(1);
});

test("who closes a store in which nothing was written says so", async () => {
  for (let n = 0; n < 2; n++) await (await openLogStore({ directory }, QUIET)).close();
  const text = fs.readFileSync(join(directory, "wal", OPENINGS_NAME), "latin1");
  expect(text.match(/^end/gm)).toHaveLength(2);
});
