import { afterEach, beforeEach, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CorruptionError, FormatError } from "../../../storage/errors.ts";
import {
  amendManifest,
  LAST_MANIFEST,
  MANIFEST,
  noteConstants,
  readManifest,
  retireManifest,
  writeManifest,
} from "../../../storage/tools/manifest.ts";
import { verifyDirectory } from "../../../storage/tools/verify.ts";

let directory: string;
const at = (name: string): string => join(directory, name);
const never = (): boolean => false;
const COMPANIONS = { constant: ["key"], changing: ["small", "large"] };

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "parley-manifest-"));
  fs.writeFileSync(at("key"), "secret");
  fs.writeFileSync(at("small"), "some text");
  fs.writeFileSync(at("large"), Buffer.alloc(9_000_000, "abc"));
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

const verify = () => verifyDirectory(directory, { companions: COMPANIONS });

test("a written manifest says of every file what it is, whole or not at all", async () => {
  expect(await writeManifest(directory, never)).toEqual({ files: 3, covered: 3 });
  const manifest = readManifest(at(MANIFEST))!;
  expect([...manifest.keys()]).toEqual(["key", "large", "small"]);
  expect(manifest.get("small")).toMatchObject({ size: 9, crc: Bun.hash.crc32("some text") });
  expect(manifest.get("large")).toMatchObject({ crc: Bun.hash.crc32(fs.readFileSync(at("large"))) });
  expect(fs.readdirSync(directory).toSorted()).toEqual(["key", "large", "manifest", "small"]);
});

test("each flipped bit and each cut of a manifest is found", async () => {
  await writeManifest(directory, never);
  const bytes = fs.readFileSync(at(MANIFEST));
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    fs.writeFileSync(at(MANIFEST), bytes);
    expect(() => readManifest(at(MANIFEST))).toThrow(CorruptionError);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
  }
  for (let length = 0; length < bytes.length; length++) {
    fs.writeFileSync(at(MANIFEST), bytes.subarray(0, length));
    expect(() => readManifest(at(MANIFEST))).toThrow(CorruptionError);
  }
});

test("a manifest of a newer version is refused by its name", async () => {
  await writeManifest(directory, never);
  const [, ...lines] = fs.readFileSync(at(MANIFEST), "utf8").split("\n");
  const body = ["parley manifest 2", ...lines.slice(0, -2), ""].join("\n");
  fs.writeFileSync(at(MANIFEST), `${body}end 3 ${Bun.hash.crc32(body).toString(16).padStart(8, "0")}\n`);
  expect(() => readManifest(at(MANIFEST))).toThrow(FormatError);
  expect((await verify()).findings).toMatchObject([{ kind: "newer", file: MANIFEST }]);
});

test("what there was no time to read is listed, the largest last, and verify says what it could not cover", async () => {
  let asked = 0;
  expect(await writeManifest(directory, () => asked++ >= 2)).toEqual({ files: 3, covered: 2 });
  expect(readManifest(at(MANIFEST))!.get("large")!.crc).toBeUndefined();
  const report = await verify();
  expect(report.findings).toEqual([]);
  expect([report.coveredFiles, report.files]).toEqual([3, 4]);
});

test("files that were not written to are not read again, others are", async () => {
  await writeManifest(directory, never);
  retireManifest(directory);
  expect(readManifest(at(MANIFEST))).toBeUndefined();
  fs.writeFileSync(at("small"), "other text");
  // With no time at all, only what was carried over is covered.
  expect(await writeManifest(directory, () => true)).toEqual({ files: 3, covered: 2 });
  expect(readManifest(at(MANIFEST))!.get("small")!.crc).toBeUndefined();
  expect(fs.existsSync(at(LAST_MANIFEST))).toBe(false);
});

test("a file that another program replaces meanwhile is read again", async () => {
  let asked = 0;
  await writeManifest(directory, () => {
    if (asked++ === 2) fs.writeFileSync(at("small"), "replaced");
    return false;
  });
  expect((await verify()).findings).toEqual([]);
});

test("a directory that never comes to rest gets no manifest", async () => {
  let writes = 0;
  const written = writeManifest(directory, () => {
    fs.writeFileSync(at("small"), "x".repeat(++writes));
    return false;
  });
  await expect(written).rejects.toThrow("is still being written to");
  expect(fs.existsSync(at(MANIFEST))).toBe(false);
});

test("one file is brought up to date, made, or taken off", async () => {
  await writeManifest(directory, never);
  fs.writeFileSync(at("small"), "replaced");
  await amendManifest(directory, "small");
  expect((await verify()).findings).toEqual([]);
  fs.rmSync(at("small"));
  await amendManifest(directory, "small");
  expect((await verify()).findings).toEqual([]);
});

test("a damaged manifest is not amended into a whole one", async () => {
  await writeManifest(directory, never);
  fs.appendFileSync(at(MANIFEST), "x");
  await amendManifest(directory, "small");
  expect((await verify()).findings).toMatchObject([{ file: MANIFEST }]);
});

test("files that never change are covered from the first start on, also after a crash", async () => {
  await noteConstants(directory, ["key"]);
  expect((await verify()).findings).toEqual([]);
  fs.writeFileSync(at("key"), "secreT");
  expect((await verify()).findings).toMatchObject([{ kind: "changed", file: "key" }]);
  // What was known first stays known.
  await noteConstants(directory, ["key"]);
  expect((await verify()).findings).toMatchObject([{ kind: "changed", file: "key" }]);
});
