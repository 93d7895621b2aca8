import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { corpus } from "../../bench/storage/corpus.ts";
import { loadTexts } from "../../bench/measure/texts.ts";

const folder = mkdtempSync(join(tmpdir(), "parley-texts-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const logs = join(folder, "logs");
mkdirSync(join(logs, "2005"), { recursive: true });
writeFileSync(join(logs, "2004-11-15.log"), "[00:01] <ann> hello\n=== bob has joined\n[00:02] <bob> ann: hi\n");
writeFileSync(join(logs, "2005", "2005-06-27.log"), "[00:01] <cat> anybody here?\n");

test("without a corpus the lines are always the same, about as long as chat, and pack like it", () => {
  const { source, lines, meanBytes } = loadTexts(undefined, 10_000);
  expect({ source, count: lines.length }).toEqual({ source: "made-up", count: 10_000 });
  expect(loadTexts(undefined, 10_000).lines).toEqual(lines);
  expect(meanBytes).toBeGreaterThan(40);
  expect(meanBytes).toBeLessThan(55);
  const block = Buffer.from(lines.join("\n")).subarray(0, 16 << 10);
  const packed = zstdCompressSync(block).length / block.length;
  expect(packed).toBeGreaterThan(0.35);
  expect(packed).toBeLessThan(0.55);
});

test("a folder of logs gives the texts of its messages, in order, as many as requested", () => {
  const texts = ["hello", "ann: hi", "anybody here?"];
  expect(loadTexts(logs, 10)).toEqual({ source: "corpus", lines: texts, meanBytes: 8 });
  expect(loadTexts(logs, 2).lines).toEqual(texts.slice(0, 2));
});

test("a corpus is stored and read back message by message, and so are made-up days", async () => {
  for (const of of [logs, undefined]) {
    const directory = mkdtempSync(join(folder, "stored-"));
    const parameters = { corpus: of, daysMax: 2, shards: 4, flushes: 1 };
    const figures = await corpus(parameters, { directory, progress: () => {} });
    expect(figures.direct + figures.group).toBe(of === undefined ? 1200 : 3);
    expect(figures.stored.bytes).toBeGreaterThan(0);
  }
});
