/** The first and the last file of the log cannot go unnoticed, and what no build has said is not believed. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CorruptionError, FormatError } from "../../storage/errors.ts";
import { EXTENT_NAME, LogExtent, readExtent } from "../../storage/log/local/log-extent.ts";
import { OPENINGS_NAME } from "../../storage/log/local/openings.ts";
import type { LogStore } from "../../storage/log-store.ts";
import { openLogStore } from "../../storage/open-store.ts";
import type { LogStoreOptions } from "../../storage/store-options.ts";
import { repairStore, type RepairOfStore } from "../../storage/tools/repair/repair.ts";
import { verifyDirectory } from "../../storage/tools/verify.ts";
import type { Seq, ShardId } from "../../storage/types.ts";
import { type FileHandle, type FileSystem, realFileSystem } from "../../storage/vfs/file-system.ts";
import { entry, openStore, QUIET, WAL_DIRECTORY } from "./log-fixture.ts";
import { LogHistory } from "./log-history.ts";
import { MemorySegments } from "./files/memory-segments.ts";
import { randomFrom } from "../support/random.ts";
import { SimulatedDisk } from "./vfs/simulated-disk.ts";

let directory: string;
let open: LogStore[];
let history: LogHistory;

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "log-extent-"));
  open = [];
  history = new LogHistory();
});
afterEach(async () => {
  for (const store of open) await store.close();
  fs.rmSync(directory, { recursive: true });
});

async function start(options: Partial<LogStoreOptions> = {}): Promise<LogStore> {
  const store = await openLogStore({ directory, walFileBytes: 4000, markAfterMs: 0, ...options }, QUIET);
  open.push(store);
  return store;
}

const wal = (name: string): string => join(directory, "wal", name);
const logFiles = (): string[] =>
  fs
    .readdirSync(join(directory, "wal"))
    .filter((name) => name.endsWith(".wal"))
    .toSorted();
const closeAll = async (): Promise<void> => {
  for (const store of open.splice(0)) await store.close();
};

/** Shard 7 alone in the first file, and then one record of each shard from 8 on. */
async function writeFiles(options: Partial<LogStoreOptions> = {}): Promise<void> {
  const store = await start(options);
  for (let n = 0; n < 40; n++) {
    history.append(store, [entry(`${n} ${"long ".repeat(40)}`, 7 + n)]);
    await store.idle();
  }
}

const findings = async (): Promise<string[]> =>
  (await verifyDirectory(directory, { companions: { constant: [], changing: [] } })).findings.map(
    ({ file, what }) => `${file}: ${what}`,
  );

test("a log whose oldest file is gone is told, at the next start and by verify, and shards with records in it are closed", async () => {
  await writeFiles();
  await closeAll();
  const [first] = logFiles();
  fs.rmSync(wal(first!));
  expect(await findings()).toContain(`wal/${first}: a log file is missing`);
  await expect(start()).rejects.toThrow(CorruptionError);
  const store = await start({ damage: "close" });
  expect(store.isDamaged(7 as ShardId)).toBe(true);
  // It has lost nothing: its only record stands behind.
  expect(store.isDamaged(46 as ShardId)).toBe(false);
  expect(store.damaged.find(({ shard }) => shard === 7)?.what).toContain(`wal: a log file is missing at ${first}`);
});

test("the same after files were trimmed, and the directory was opened and closed since", async () => {
  await writeFiles();
  await open[0]!.flushAll(() => false);
  await closeAll();
  for (let round = 0; round < 2; round++) {
    await start();
    await closeAll();
  }
  await writeFiles();
  await closeAll();
  expect(await findings()).toEqual([]);
  const [first] = logFiles();
  expect(first).not.toBe("0000000001.wal");
  fs.rmSync(wal(first!));
  expect(await findings()).toContain(`wal/${first}: a log file is missing`);
  await expect(start()).rejects.toThrow(CorruptionError);
});

test("a log whose newest file is gone, or lost its header, is told", async () => {
  await writeFiles();
  await closeAll();
  const last = logFiles().at(-1)!;
  const bytes = fs.readFileSync(wal(last));
  for (const harm of [() => fs.writeFileSync(wal(last), Buffer.alloc(bytes.length)), () => fs.rmSync(wal(last))]) {
    harm();
    expect((await findings()).some((finding) => finding.startsWith(`wal/${last}: `))).toBe(true);
    await expect(start()).rejects.toThrow(CorruptionError);
    await expect(start({ damage: "close" })).rejects.toThrow(CorruptionError);
  }
  fs.writeFileSync(wal(last), bytes);
  expect((await start()).damaged).toEqual([]);
});

/** The directory becomes the repaired one. */
async function repaired(): Promise<RepairOfStore> {
  const source = `${directory}.source`;
  fs.cpSync(directory, source, { recursive: true });
  try {
    return await repairStore(source, directory, { laneOfLost: () => "", keyOfLost: () => undefined });
  } finally {
    fs.rmSync(source, { recursive: true });
  }
}
const partsOf = ({ parts }: RepairOfStore): string[] => parts.map(({ file, what }) => `${file}: ${what}`);
const lacking = ({ shards }: RepairOfStore): number[] =>
  shards.filter(({ mayLackNewest }) => mayLackNewest).map(({ shard }) => shard as number);

test.each([
  ["oldest file is gone", 0, "a log file is missing", (path: string) => fs.rmSync(path)],
  ["newest file is gone", -1, "a log file is missing", (path: string) => fs.rmSync(path)],
  [
    "newest file was emptied",
    -1,
    "the file has zeros alone, and was begun",
    (path: string) => fs.writeFileSync(path, Buffer.alloc(4000)),
  ],
] as const)(
  "a log whose %s is repaired: what is left is served, the file is named, and shards with nothing behind it may lack their newest",
  async (_, at, what, harm) => {
    await writeFiles();
    await closeAll();
    const gone = logFiles().at(at)!;
    harm(wal(gone));
    const repair = await repaired();
    expect(partsOf(repair)).toEqual([`wal/${gone}: ${what}`]);
    expect(lacking(repair)).toContain(7);
    expect(lacking(repair).includes(25)).toBe(at === -1);
    expect(await findings()).toEqual([]);
    const store = await start();
    // In the middle of the log.
    expect(store.shard(25 as ShardId).head("@alice")?.headSeq).toBe(1 as Seq);
  },
);

test.each([
  ["is gone", (name: string) => fs.rmSync(wal(name))],
  [
    "was emptied down to its first file",
    (name: string) =>
      name === "0000000001.wal" ? fs.writeFileSync(wal(name), Buffer.alloc(4000)) : fs.rmSync(wal(name)),
  ],
])("where the whole log %s any shard may lack its newest records, as the repair says", async (_, harm) => {
  const store = await start({ walFileBytes: 1 << 20 });
  history.append(store, [entry("flushed", 7)]);
  await store.flushAll(() => false);
  history.append(store, [entry("in the log alone", 7)]);
  await store.idle();
  await closeAll();
  for (const name of logFiles()) harm(name);
  fs.rmSync(wal(EXTENT_NAME));
  const repair = await repaired();
  expect(partsOf(repair)).toEqual(["wal: the log is missing, recent.db is there"]);
  expect(lacking(repair)).toContain(7);
  expect(await findings()).toEqual([]);
});

test.each([
  ["oldest", 0],
  ["second", 1],
])(
  "a server goes on without the %s log file and trims beyond it, and a later repair still knows what is missing",
  async (_, at) => {
    await writeFiles();
    await closeAll();
    const gone = logFiles()[at]!;
    fs.rmSync(wal(gone));
    const store = await start({ damage: "close" });
    await store.flushAll(() => false);
    expect(logFiles().length).toBeLessThan(3);
    await closeAll();
    expect((await findings()).filter((finding) => !finding.startsWith("damaged/shards: "))).toEqual([]);
    const repair = await repaired();
    expect(partsOf(repair)).toContain(`wal/${gone}: a log file is missing`);
    expect(lacking(repair)).toContain(7);
    expect(await findings()).toEqual([]);
  },
);

test("a file is not given up by a line that could be neither written nor removed, however often that is asked", async () => {
  fs.mkdirSync(join(directory, "wal"));
  let isBroken = false;
  const broken =
    <Args extends unknown[], Result>(call: (...args: Args) => Result) =>
    (...args: Args): Result => {
      if (isBroken) throw Object.assign(new Error("EIO"), { code: "EIO" });
      return call(...args);
    };
  const { openDurable, remove } = realFileSystem;
  const files = { ...realFileSystem, openDurable: broken(openDurable), remove: broken(remove) };
  const extent = new LogExtent(join(directory, "wal"), files);
  extent.begin({ no: 1, id: "0123456789abcdef" }, { extent: undefined, isDamaged: false }, 1);
  extent.begun(3);
  isBroken = true;
  for (let n = 0; n < 2; n++) expect(() => extent.beginsBehind(1)).toThrow("EIO");
  isBroken = false;
  extent.beginsBehind(1);
  expect(readExtent(join(directory, "wal"), realFileSystem).extent).toEqual({ first: 2, last: 3 });
});

test("a log of an older version says nothing of files before its first and behind its last", async () => {
  await writeFiles();
  await closeAll();
  fs.rmSync(wal(EXTENT_NAME));
  fs.rmSync(wal(logFiles()[0]!));
  expect((await start({ damage: "close" })).damaged).toEqual([]);
  await closeAll();
  // From here on it does.
  const [first] = logFiles();
  fs.rmSync(wal(first!));
  await expect(start()).rejects.toThrow(`a log file is missing at ${first}`);
});

test("what an older build has removed since, which does not know the file, is not missing", async () => {
  await writeFiles();
  await closeAll();
  const extent = fs.readFileSync(wal(EXTENT_NAME));
  const store = await start();
  await store.flushAll(() => false);
  await closeAll();
  fs.writeFileSync(wal(EXTENT_NAME), extent);
  const { findings: found, notes } = await verifyDirectory(directory, { companions: { constant: [], changing: [] } });
  expect(found).toEqual([]);
  expect(notes.join()).toContain("wal/extent says nothing of the log as it is now");
  expect((await start()).damaged).toEqual([]);
});

test("each flipped bit of the file is told by verify and keeps no server from its data; a newer version is refused", async () => {
  await writeFiles();
  await closeAll();
  const whole = fs.readFileSync(wal(EXTENT_NAME));
  const openings = fs.readFileSync(wal(OPENINGS_NAME));
  for (let at = 0; at < whole.length; at += 3) {
    const changed = Buffer.from(whole);
    changed[at]! ^= 1 << (at % 8);
    fs.writeFileSync(wal(EXTENT_NAME), changed);
    expect([at, await findings()]).toEqual([at, [expect.stringContaining("wal/extent: it is not what was written")]]);
    if (at % 5 !== 0) continue;
    expect((await start()).damaged).toEqual([]);
    await closeAll();
    fs.writeFileSync(wal(OPENINGS_NAME), openings);
  }
  const newer = "parley extent 2 more";
  const crc = Bun.hash.crc32(Buffer.from(newer)).toString(16).padStart(8, "0");
  fs.writeFileSync(wal(EXTENT_NAME), `${newer} ${crc}\n`);
  await expect(start()).rejects.toThrow(FormatError);
  expect((await findings()).some((finding) => finding.includes("format version 2"))).toBe(true);
});

/** The line cannot be written, as on a full disk that has no room for a change in place. */
function withoutExtents(): FileSystem {
  const extents = new Set<FileHandle>();
  return {
    ...realFileSystem,
    openDurable(path, create) {
      const file = realFileSystem.openDurable(path, create);
      if (path.endsWith(`/${EXTENT_NAME}`)) extents.add(file);
      else extents.delete(file);
      return file;
    },
    writeNow(file, bytes, position) {
      if (extents.has(file)) throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
      realFileSystem.writeNow(file, bytes, position);
    },
  };
}

test("a log is trimmed although the disk takes no line about it, and then nothing is said", async () => {
  await writeFiles();
  await closeAll();
  const store = await start({ files: withoutExtents() });
  const [first] = logFiles();
  await store.flushAll(() => false);
  expect(logFiles()).not.toContain(first);
  await closeAll();
  expect(fs.existsSync(wal(EXTENT_NAME))).toBe(false);
  expect((await start()).damaged).toEqual([]);
  expect(fs.existsSync(wal(EXTENT_NAME))).toBe(true);
});

test("a crash at any call of trimming and of closing leaves a log that misses nothing", async () => {
  const random = randomFrom(17);
  const segments = new MemorySegments();
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { segments, damage: "refuse" });
  for (let n = 0; n < 30; n++) {
    history.append(store, [entry(`${n} ${"long ".repeat(40)}`)]);
    await store.idle();
  }
  const left: SimulatedDisk[] = [];
  disk.onCall = () => void left.push(disk.afterCrash("kill", random), disk.afterCrash("power", random));
  await store.flushAll(() => false);
  await store.close();
  left.push(disk.afterCrash("power", random));
  // An opening that writes nothing: its file goes when it is closed.
  await (await openStore(disk, { segments })).close();
  expect(left.length).toBeGreaterThan(40);
  for (const crashed of left) {
    const next = await openStore(crashed, { segments, damage: "refuse" });
    expect(next.recovery.gaps).toBe(0);
    await next.close();
  }
  expect(disk.paths()).toContain(`${WAL_DIRECTORY}/${EXTENT_NAME}`);
});
