/** The copy that a repair works on, from a disk that refuses part of what it holds, and what a repair says while it works. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileCrc, listFiles } from "../../../storage/tools/inventory.ts";
import { copyFiles, syncTree } from "../../../storage/tools/repair/copy-files.ts";
import { repairStore, type RepairOptions } from "../../../storage/tools/repair/repair.ts";
import { type ReadAt, systemRead } from "../../../storage/tools/repair/torn-read.ts";
import { verifyDirectory } from "../../../storage/tools/verify.ts";
import type { LogHistory } from "../log-history.ts";
import { randomFrom } from "../../support/random.ts";
import { expectTold, openAt, writeData } from "./damaged-data.ts";

let place: string;
let source: string;
let history: LogHistory;
beforeAll(async () => {
  place = fs.mkdtempSync(join(tmpdir(), "parley-repair-copy-"));
  source = join(place, "written");
  history = await writeData(source, randomFrom(2));
});
afterAll(() => fs.rmSync(place, { recursive: true, force: true }));
const copy = (): string => join(place, "copy");
afterEach(() => fs.rmSync(copy(), { recursive: true, force: true }));

const paths = (at: string): string[] => listFiles(at).map(({ path }) => path);
const sizeOf = (path: string): number => fs.statSync(join(source, path)).size;
const lastLog = (): string => paths(source).findLast((path) => path.endsWith(".wal"))!;

/** A disk that refuses a sector, wherever it is read from. */
function refusing(path: string, at: number): ReadAt {
  const { ino } = fs.statSync(join(source, path));
  return (file, into, start, length, position) => {
    if (fs.fstatSync(file).ino === ino && position <= at && at < position + length)
      throw Object.assign(new Error("EIO: i/o error, read"), { code: "EIO" });
    return systemRead(file, into, start, length, position);
  };
}

async function repairedFrom(path: string, at: number) {
  const read = refusing(path, at);
  fs.mkdirSync(copy());
  const unreadable = await copyFiles(source, copy(), listFiles(source), () => {}, read);
  expect(unreadable.map((part) => part.path)).toEqual([path]);
  const options: RepairOptions = { laneOfLost: () => "@lost", keyOfLost: (_, key) => `lost ${key}`, unreadable, read };
  const repaired = await repairStore(source, copy(), options);
  expect((await verifyDirectory(copy(), { companions: { constant: [], changing: [] } })).findings).toEqual([]);
  const store = await openAt(copy());
  try {
    expectTold(store, history, repaired);
  } finally {
    await store.close();
  }
  return repaired;
}

test("a copy has the same files with the same bytes, and every byte of it is counted", async () => {
  fs.mkdirSync(copy());
  let bytes = 0;
  expect(await copyFiles(source, copy(), listFiles(source), (more) => void (bytes += more))).toEqual([]);
  await syncTree(copy());
  expect(paths(copy())).toEqual(paths(source));
  for (const path of paths(source)) expect(await fileCrc(join(copy(), path))).toBe(await fileCrc(join(source, path)));
  expect(bytes).toBe(listFiles(source).reduce((sum, { size }) => sum + size, 0));
});

test("a state file that the disk refuses in part is damage of its shard alone", async () => {
  const path = paths(source).find((one) => /^shards\/042\/state\.db$/.test(one))!;
  const { shards } = await repairedFrom(path, 5000);
  expect(shards.map(({ shard }) => shard as number)).toEqual([42]);
  expect(shards[0]!.found.join()).toContain("bytes 4096 to 8191 cannot be read from the disk");
});

test("a segment that the disk refuses in part is damage of its shard alone", async () => {
  const path = paths(source).find((one) => one.startsWith("shards/042/segment-"))!;
  const { shards } = await repairedFrom(path, sizeOf(path) - 100);
  expect(shards.map(({ shard }) => shard as number)).toEqual([42]);
});

test("a recent.db that the disk refuses in part takes nothing away that is elsewhere", async () => {
  await repairedFrom("shards/recent.db", sizeOf("shards/recent.db") - 100);
});

test("an end of the log that the disk refuses is not taken for the end of what was written", async () => {
  const log = fs.readFileSync(join(source, lastLog()));
  const end = log.findLastIndex((byte) => byte !== 0);
  const { shards, parts } = await repairedFrom(lastLog(), end);
  expect(parts.map(({ what }) => what).join()).toContain("cannot be read from the disk");
  expect(shards.length).toBeGreaterThan(0);
  expect(shards.every(({ mayLackNewest }) => mayLackNewest)).toBe(true);
});

test("an error that is not about bytes of the disk ends the copy", async () => {
  fs.mkdirSync(copy());
  const read: ReadAt = () => {
    throw Object.assign(new Error("EMFILE"), { code: "EMFILE" });
  };
  const copied = copyFiles(source, copy(), listFiles(source), () => {}, read).catch((error: Error) => error.message);
  expect(await copied).toBe("EMFILE");
});

test("progress is told in bytes of files, and comes to its end", async () => {
  fs.cpSync(source, copy(), { recursive: true });
  const state = join(copy(), "shards/042/state.db");
  const bytes = fs.readFileSync(state);
  fs.writeFileSync(state, bytes.fill(0xa5, 5000, 9000));
  const told = new Map<string, [number, number]>();
  await repairStore(copy(), copy(), {
    laneOfLost: () => "@lost",
    keyOfLost: () => undefined,
    progress: (phase, done, total) => void told.set(phase, [done, total]),
  });
  expect([...told.keys()]).toEqual(["reading", "writing"]);
  for (const [done, total] of told.values()) {
    expect(done).toBe(total);
    expect(total).toBeGreaterThan(bytes.length);
  }
});
