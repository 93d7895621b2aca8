/** One flipped bit, anywhere in a data directory that a server left, is found; and nothing is found where nothing is wrong. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { join } from "node:path";
import { COMPANIONS } from "../../src/cli/tool-options.ts";
import { listFiles } from "../../storage/tools/inventory.ts";
import type { VerifyReport } from "../../storage/tools/report.ts";
import { verifyDirectory } from "../../storage/tools/verify.ts";
import { copyDirectory, makeData, type MadeData } from "./tools-data.ts";
import { temporaryDirectory } from "./processes.ts";

let made: MadeData;
let copies: ReturnType<typeof temporaryDirectory>;
beforeAll(async () => {
  made = await makeData();
  copies = temporaryDirectory();
});
afterAll(() => {
  made.remove();
  copies.remove();
});

const verify = (directory: string): Promise<VerifyReport> => verifyDirectory(directory, { companions: COMPANIONS });

function copyOf(directory: string): string {
  const copy = join(copies.path, String(fs.readdirSync(copies.path).length));
  copyDirectory(directory, copy);
  return copy;
}

const plainFiles = (directory: string): string[] => listFiles(directory).map(({ path }) => path);

/** Everything that a look at a directory could change. */
const fingerprint = (directory: string): string[] =>
  listFiles(directory).map(
    ({ path, size, mtimeNs }) => `${path} ${size} ${mtimeNs} ${Bun.hash.crc32(fs.readFileSync(join(directory, path)))}`,
  );

test("nothing is wrong with what a clean stop left, every byte is covered, and nothing is changed by looking", async () => {
  const before = fingerprint(made.path);
  const report = await verify(made.path);
  expect(report.findings).toEqual([]);
  expect(report.notes).toEqual([]);
  expect(report.coveredFiles).toBe(report.files);
  expect(fingerprint(made.path)).toEqual(before);
  const paths = plainFiles(made.path);
  for (const name of [/^shards\/recent\.db$/, /^shards\/\d{3}\/state\.db$/, /^shards\/\d{3}\/segment-\d{6}\.db$/])
    expect(paths.some((path) => name.test(path))).toBe(true);
});

test("nothing is wrong with what kill -9 left", async () => {
  const before = fingerprint(made.killed);
  const report = await verify(made.killed);
  expect(report.findings).toEqual([]);
  expect(fingerprint(made.killed)).toEqual(before);
});

describe("after a clean stop", () => {
  /** Every byte of small files, otherwise the first and last pages and places between; which, the seed says. */
  const SEED = Number(process.env["FLIP_SEED"] ?? 1);
  const PLACES = Number(process.env["FLIP_PLACES"] ?? 5);

  function places(path: string, size: number): number[] {
    if (size <= 64) return Array.from({ length: size }, (_, at) => at);
    const random = (index: number): number =>
      Number(Bun.hash.xxHash64(`${path} ${index}`, BigInt(SEED)) % BigInt(size));
    const chosen = [0, 17, 18, 19, 20, 95, 99].filter((at) => at < size);
    return [...chosen, size >> 1, size - 2, size - 1, ...Array.from({ length: PLACES }, (_, index) => random(index))];
  }

  test("one flipped bit is found in every file, wherever it is, and the file is named", async () => {
    const copy = copyOf(made.path);
    for (const { path, size } of listFiles(copy)) {
      const file = join(copy, path);
      const bytes = fs.readFileSync(file);
      for (const at of places(path, size)) {
        const bit = 1 << ((at + SEED) % 8);
        bytes[at]! ^= bit;
        fs.writeFileSync(file, bytes);
        const { findings } = await verify(copy);
        if (!findings.some((finding) => finding.file === path))
          throw new Error(`bit ${bit} of byte ${at} of ${path} was not found`);
        bytes[at]! ^= bit;
      }
      fs.writeFileSync(file, bytes);
    }
    expect((await verify(copy)).findings).toEqual([]);
  });

  test.each([
    ["cut by a byte", (file: string) => fs.truncateSync(file, fs.statSync(file).size - 1)],
    ["emptied", (file: string) => fs.truncateSync(file)],
    ["one byte longer", (file: string) => fs.appendFileSync(file, "\0")],
    ["gone", (file: string) => fs.rmSync(file)],
    ["a directory", (file: string) => (fs.rmSync(file), fs.mkdirSync(file))],
  ])("a file that is %s is found", async (_, change) => {
    for (const path of plainFiles(made.path)) {
      if (path === "manifest") continue;
      const copy = copyOf(made.path);
      change(join(copy, path));
      const { findings } = await verify(copy);
      if (!findings.some(({ file }) => file === path)) throw new Error(`${path} was not missed`);
    }
  });

  test.each([
    "notes.txt",
    "wal/0000000000.old",
    "shards/0007/state.db",
    "shards/extra/x",
    "shards/recent.db.old",
    "shards/001/segment-999999.db",
    "token.key.bak",
  ])("%s, which the server did not leave, is found", async (path) => {
    const copy = copyOf(made.path);
    fs.mkdirSync(join(copy, path, ".."), { recursive: true });
    fs.writeFileSync(join(copy, path), "x");
    expect((await verify(copy)).findings.map(({ file }) => file)).toContain(path);
  });

  test("without the manifest verify covers less, and says so", async () => {
    const copy = copyOf(made.path);
    fs.rmSync(join(copy, "manifest"));
    const report = await verify(copy);
    expect(report.findings).toEqual([]);
    expect(report.coveredFiles).toBe(0);
    expect(report.notes.join()).toContain("Start and stop it once");
  });
});

describe("after a kill", () => {
  test("files that no start has written to since are still covered", async () => {
    const report = await verify(made.killed);
    expect(report.coveredFiles).toBeGreaterThan(2);
    expect(report.coveredFiles).toBeLessThan(report.files);
  });

  test("a flipped bit in a key, or in a frame of the log that another follows, is found, whenever the file was last written", async () => {
    const copy = copyOf(made.killed);
    const log = plainFiles(copy)
      .filter((path) => path.endsWith(".wal"))
      .at(-1)!;
    for (const [path, at] of [
      [log, 30],
      ["wal/openings", 25],
      ["wal/openings", 60],
      ["wal/extent", 50],
      ["id.key", 3],
      ["token.key", 31],
    ] as const) {
      const bytes = fs.readFileSync(join(copy, path));
      bytes[at]! ^= 4;
      fs.writeFileSync(join(copy, path), bytes);
      const { findings } = await verify(copy);
      expect(new Set(findings.map((finding) => finding.file))).toEqual(new Set([path]));
      bytes[at]! ^= 4;
      fs.writeFileSync(join(copy, path), bytes);
    }
  });

  test("a flipped bit in unused space is found in a file that was not written to since the last clean stop", async () => {
    const copy = copyOf(made.killed);
    const path = plainFiles(copy).find((name) => /^shards.*state.db$/.test(name))!;
    const file = join(copy, path);
    const bytes = fs.readFileSync(file);
    bytes[90]! ^= 1;
    fs.writeFileSync(file, bytes);
    // As on a disk that decays: nobody wrote.
    Bun.spawnSync(["touch", "-r", join(made.killed, path), file]);
    expect((await verify(copy)).findings.map((finding) => finding.file)).toEqual([path]);
  });
});
