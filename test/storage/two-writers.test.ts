/** Two stores on one directory, as without a lock: the earlier one stops, and what both have left is told by `verify`. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LogStore } from "../../storage/log-store.ts";
import { openLogStore } from "../../storage/open-store.ts";
import type { LogStoreOptions } from "../../storage/store-options.ts";
import { StreamHandle } from "../../storage/shard/staged-record.ts";
import { verifyDirectory } from "../../storage/tools/verify.ts";
import type { Seq, ShardId } from "../../storage/types.ts";
import { realFileSystem, type FileSystem } from "../../storage/vfs/file-system.ts";
import { walFileName } from "../../storage/log/local/frame.ts";
import { OPENINGS_NAME, readOpenings } from "../../storage/log/local/openings.ts";
import { QUIET } from "./log-fixture.ts";

let directory: string;
let open: LogStore[];

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "two-writers-"));
  open = [];
});
afterEach(async () => {
  for (const store of open) await store.close();
  fs.rmSync(directory, { recursive: true, force: true });
});

async function start(options: Partial<LogStoreOptions> = {}, hooks: Partial<typeof QUIET> = {}): Promise<LogStore> {
  const store = await openLogStore(
    { directory, walFileBytes: 4000, markAfterMs: 0, ...options },
    { ...QUIET, ...hooks },
  );
  open.push(store);
  return store;
}

const handles = new WeakMap<LogStore, StreamHandle>();

/** @returns whether it was acknowledged */
function write(store: LogStore, text: string): Promise<boolean> {
  const log = store.shard(7 as ShardId);
  const handle = handles.get(store) ?? new StreamHandle("@alice", log.head("@alice"));
  handles.set(store, handle);
  return new Promise((resolve) => {
    log.append({
      encode() {
        log.beginEntry(handle, "", "", (handle.appendedSeq + 1) as Seq, text.length);
        log.writer.raw(Buffer.from(text));
        log.endEntry();
      },
      committed: () => resolve(true),
      failed: () => resolve(false),
    });
  });
}

async function writeFiles(store: LogStore): Promise<void> {
  for (let n = 0; n < 40; n++) await write(store, `message ${n} ${"long ".repeat(40)}`);
}

const copied = (): string => {
  const copy = fs.mkdtempSync(join(tmpdir(), "two-writers-copy-"));
  fs.cpSync(directory, copy, { recursive: true });
  return copy;
};

/** What `verify` says of the directory as it stands now. */
async function findings(): Promise<{ kind: string; file: string; place: string; what: string }[]> {
  const copy = copied();
  const report = await verifyDirectory(copy, { companions: { constant: [], changing: [] } });
  fs.rmSync(copy, { recursive: true });
  return report.findings.map(({ kind, file, place, what }) => ({ kind, file, place, what }));
}

const writers = async () => (await findings()).filter(({ kind }) => kind === "writers");
const openingsPath = (): string => join(directory, "wal", OPENINGS_NAME);

/** As a version that knows nothing of openings. */
const older: FileSystem = { ...realFileSystem, append: () => {}, look: () => undefined };

test("the earlier of two stops when it looks, refuses what comes, and the later one goes on", async () => {
  let failures = 0;
  const first = await start({}, { onFailure: () => void failures++ });
  expect(await write(first, "before")).toBe(true);
  const second = await start();
  first.checkDirectory();
  await first.idle();
  expect(first.failed?.message).toContain(`another server (process ${process.pid}) writes to ${directory}/wal`);
  expect([first.shortage, failures]).toEqual(["other writer", 1]);
  expect(await write(first, "refused")).toBe(false);
  expect(await first.hasRoom()).toBe(false);
  second.checkDirectory();
  expect(await write(second, "after")).toBe(true);
  expect(second.shortage).toBeUndefined();
  expect(await writers()).toEqual([
    {
      kind: "writers",
      file: "wal/openings",
      place: "openings 1 and 2",
      what: "opening 1 was at work when opening 2 began",
    },
  ]);
});

test("the earlier of two begins no file, flushes nothing and removes none, also when nobody makes it look", async () => {
  const failures: unknown[] = [];
  const first = await start({}, { onFlushFailure: (error) => void failures.push(error) });
  await write(first, "before");
  const second = await start();
  const before = fs.readdirSync(join(directory, "wal")).toSorted();
  void first.flushAll(() => failures.length > 0);
  await write(second, "after");
  let acked = 0;
  while (await write(first, `late ${"long ".repeat(40)}`)) acked++;
  // What was left of its own file, and the file that it had prepared.
  expect(acked).toBeLessThan(40);
  expect(
    fs
      .readdirSync(join(directory, "wal"))
      .filter((name) => name.endsWith(".wal"))
      .toSorted(),
  ).toEqual(before.filter((name) => name.endsWith(".wal")));
  expect(await writers()).not.toEqual([]);
});

test("messages that the earlier one wrote after the later one had read the log are found by verify, although it was killed before it looked", async () => {
  const first = await start();
  await write(first, "before");
  const second = await start();
  expect(await write(first, "acknowledged, and in no history")).toBe(true);
  await write(second, "after");
  expect(await writers()).toEqual([
    {
      kind: "writers",
      file: `wal/${walFileName(1)}`,
      place: "its end",
      what: "it was written to after opening 2 had read it and gone on in 0000000002.wal",
    },
  ]);
});

test("the later one of two stops when the earlier one writes, and keeps the file that shows it", async () => {
  const first = await start({ files: older });
  await write(first, "before");
  const second = await start();
  await write(second, "after");
  await write(first, "acknowledged, and in no history");
  await second.flushAll(() => true);
  second.checkDirectory();
  expect(second.shortage).toBe("other writer");
  expect(second.failed?.message).toContain(`${walFileName(1)} is being written to by somebody else`);
  expect(fs.existsSync(join(directory, "wal", walFileName(1)))).toBe(true);
  expect((await writers()).map(({ place }) => place)).toContain("log file 1");
});

test("a log file that somebody puts in the place of the one that is written is noticed, and so is its removal", async () => {
  const store = await start();
  await write(store, "before");
  const path = join(directory, "wal", walFileName(1));
  fs.cpSync(path, `${path}.other`);
  fs.rmSync(path);
  expect(() => store.checkDirectory()).not.toThrow();
  expect([store.shortage, store.failed?.message]).toEqual([
    "directory lost",
    expect.stringContaining(`${path} was moved or removed`),
  ]);
  fs.renameSync(`${path}.other`, path);
  await open.pop()!.close();
  const next = await start();
  await write(next, "after");
  const written = join(directory, "wal", walFileName(2));
  fs.cpSync(written, `${written}.other`);
  fs.renameSync(`${written}.other`, written);
  next.checkDirectory();
  expect(next.shortage).toBe("other writer");
  expect(await write(next, "refused")).toBe(false);
  expect((await writers()).map(({ place, what }) => `${place}: ${what}`)).toEqual([
    // Seen when the first one was closed.
    "log file 1: somebody else changed it while opening 1 had it",
    "log file 2: somebody else changed it while opening 2 had it",
  ]);
});

test("a log file is not renamed over one that is there", async () => {
  const store = await start();
  const next = join(directory, "wal", walFileName(2));
  fs.writeFileSync(next, "somebody's");
  let acked = 0;
  while (await write(store, `message ${"long ".repeat(40)}`)) acked++;
  expect(acked).toBeGreaterThan(0);
  expect(fs.readFileSync(next, "utf8")).toBe("somebody's");
  fs.rmSync(next);
});

test("of two that begin at the same moment one goes on, and verify tells", async () => {
  const first = await start();
  const seen = fs.readFileSync(openingsPath());
  await first.close();
  fs.writeFileSync(openingsPath(), seen.subarray(0, seen.indexOf("\n") + 1));
  let reads = 0;
  const stale: FileSystem = {
    ...realFileSystem,
    // What stood there before the other one began.
    read: (path, room) =>
      path === openingsPath() && reads++ < 2
        ? seen.subarray(0, seen.indexOf("\n") + 1)
        : realFileSystem.read(path, room),
  };
  const one = await start();
  const other = await start({ files: stale });
  for (const store of [one, other]) store.checkDirectory();
  expect([one.shortage, other.shortage]).toEqual(["other writer", undefined]);
  expect((await writers()).map(({ place }) => place)).toContain("opening 1");
});

test("restarts, kills and logs that failed and were opened again are no two writers", async () => {
  for (let n = 0; n < 3; n++) {
    const store = await start();
    await writeFiles(store);
    store.checkDirectory();
    await open.pop()!.close();
  }
  let isFailing = false;
  const failing: FileSystem = {
    ...realFileSystem,
    write: (file, bytes, from, to, position, done) =>
      isFailing
        ? void setImmediate(() => done(new Error("EIO")))
        : realFileSystem.write(file, bytes, from, to, position, done),
  };
  const failed = await start({ files: failing });
  await write(failed, "before");
  isFailing = true;
  expect(await write(failed, "lost")).toBe(false);
  isFailing = false;
  expect(await failed.hasRoom()).toBe(true);
  const again = await failed.reopen(QUIET);
  open.push(again);
  // Who looks at the failed one meanwhile sees nobody else.
  expect(await failed.hasRoom()).toBe(true);
  await writeFiles(again);
  again.checkDirectory();
  expect(again.failed).toBeUndefined();
  expect(await findings()).toEqual([]);
  open = [again];
  // Killed: it says nothing at its end.
  const after = copied();
  await again.close();
  open = [];
  fs.rmSync(directory, { recursive: true });
  fs.renameSync(after, directory);
  await writeFiles(await start());
  expect(await findings()).toEqual([]);
});

test("what a crash leaves of a line, or of all of them, keeps nobody from opening the log", async () => {
  await write(await start(), "before");
  await open.pop()!.close();
  for (const bytes of [
    Buffer.from("begin 1 5ab0c2f1"),
    Buffer.alloc(100),
    Buffer.from("\n\n"),
    Buffer.from([255, 10, 254]),
  ]) {
    for (const keep of [fs.readFileSync(openingsPath()), Buffer.alloc(0)]) {
      fs.writeFileSync(openingsPath(), Buffer.concat([keep, bytes]));
      const store = await start();
      expect(await write(store, "after")).toBe(true);
      store.checkDirectory();
      expect(store.failed).toBeUndefined();
      await open.pop()!.close();
      expect(await findings()).toEqual([]);
    }
  }
});

test("a flipped bit anywhere in the header of the list keeps no server from its data, and is told by verify", async () => {
  await write(await start(), "before");
  await open.pop()!.close();
  const whole = fs.readFileSync(openingsPath());
  for (let bit = 0; bit < whole.indexOf("\n") * 8; bit++) {
    const changed = Buffer.from(whole);
    changed[bit >> 3]! ^= 1 << (bit & 7);
    expect([bit, readOpenings(openingsPath(), changed).lines.length]).toEqual([bit, 3]);
    if (bit % 9 !== 0 && bit >> 3 !== "parley openings ".length) continue;
    fs.writeFileSync(openingsPath(), changed);
    expect((await findings()).map(({ kind, file }) => ({ kind, file }))).toEqual([
      { kind: "damaged", file: "wal/openings" },
    ]);
    await start();
    await open.pop()!.close();
  }
});

test("openings of a newer version are refused, and told by verify", async () => {
  await open
    .concat(await start())
    .pop()!
    .close();
  open = [];
  fs.writeFileSync(
    openingsPath(),
    `parley openings 2 ${Bun.hash.crc32(Buffer.from("parley openings 2")).toString(16).padStart(8, "0")}\n`,
  );
  expect(await start().catch((error: Error) => error.message)).toContain("openings: format version 2");
  expect((await findings()).map(({ kind }) => kind)).toEqual(["newer"]);
});

test("whoever removes the list under a store that works is let in no better, and thousands of openings take little room", async () => {
  const store = await start();
  await write(store, "before");
  fs.rmSync(openingsPath());
  store.checkDirectory();
  expect(store.failed).toBeUndefined();
  const second = await start();
  store.checkDirectory();
  expect(store.shortage).toBe("other writer");
  for (const one of [store, second]) await one.close();
  open = [];
  const line = fs
    .readFileSync(openingsPath(), "latin1")
    .split("\n")
    .find((text) => text.startsWith("begin"))!;
  fs.writeFileSync(openingsPath(), `parley openings 1\n${`${line}\n`.repeat(3000)}`);
  await open
    .concat(await start())
    .pop()!
    .close();
  open = [];
  expect(fs.statSync(openingsPath()).size).toBeLessThan(80_000);
});
