/** Every bench runs in its tiny size, so that none rots: what it prints, its JSON, and the page. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import type { Aim } from "../../bench/bench.ts";
import { BENCHES } from "../../bench/benches.ts";
import type { E2eFigures } from "../../bench/e2e/e2e-result.ts";
import { loadTexts } from "../../bench/measure/texts.ts";
import { TINY_STORAGE } from "../../bench/storage/storage-options.ts";
import type { StorageResult } from "../../bench/storage/storage-result.ts";
import { bench } from "./bench-program.ts";
import { chartsIn, expectSelfContained } from "./self-contained.ts";

type Line = { suite: string; finding: string; durable: string; commit: string; parameters: object; aims: JudgedAim[] };
type JudgedAim = Aim & { isMet?: boolean };

const folder = mkdtempSync(join(tmpdir(), "parley-bench-test-"));
const report = join(folder, "report.html");
const work = mkdtempSync(join(folder, "work-"));
const NAMES = BENCHES.map(({ name }) => name);
let errors = "";
let lines: Line[] = [];

beforeAll(async () => {
  const words = ["all", "--tiny", "--json", "--report", report, "--dir", work, "--peers", "socket.io-bun"];
  const ran = await bench(...words);
  errors = ran.errors;
  expect({ status: ran.status, failed: /bench: .*/.exec(ran.errors)?.[0] }).toEqual({ status: 0, failed: undefined });
  lines = ran.out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
}, 300_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const lineOf = (name: string): Line => lines.find(({ suite }) => suite === name)!;

test.each(NAMES)("%s says what came out, of which commit and parameters, and what is durable", (name) => {
  const { finding, durable, commit, parameters, aims } = lineOf(name);
  expect(finding).toMatch(/^[A-Z].*\.$/);
  expect(finding).not.toMatch(/undefined|NaN/);
  expect(durable).not.toBe("");
  expect(commit).not.toBe("");
  expect(Object.keys(parameters).length).toBeGreaterThan(0);
  for (const { isMet, measured, atMost, atLeast } of aims) {
    if (isMet !== undefined) expect(isMet).toBe(atMost === undefined ? measured >= atLeast! : measured <= atMost);
  }
});

test("e2e measures both servers, loses nothing, and has the ratios by which versions are compared", () => {
  const result = lineOf("e2e") as Line & E2eFigures;
  expect(result.rounds.length).toBe(2);
  expect(result.throughputRatio).toBeGreaterThan(0);
  expect(result.cpuRatio).toBeGreaterThan(0);
  expect(result.worstOverBest).toBeGreaterThanOrEqual(1);
  expect(result.ranges.throughputRatio.median).toBe(result.throughputRatio);
  expect(result.restarts.length).toBe(1);
  expect(result.restartedRatio).toBeGreaterThan(0);
  expect(result.fanoutRatio).toBeGreaterThan(0);
  expect(result.openLoop5000.p50Ms).toBeGreaterThan(0);
  expect(result.openLoop5000.p99Ms).toBeGreaterThanOrEqual(result.openLoop5000.p50Ms);
  expect(result.medians.parley.p99Ms).toBeGreaterThanOrEqual(result.medians.parley.p50Ms);
  expect(result.delivered).toBeGreaterThan(100);
  expect(result.lost).toBe(0);
  expect(errors).toContain("server CPU a message");
  expect(errors).toContain("rate after a restart over the rate before it");
});

test("storage measures every part with both drivers, and leaves nothing behind", () => {
  expect(readdirSync(work)).toEqual([]);
  expect(errors).toContain("write + fdatasync, growing file");
  const { append, flush, pages, recovery, corpus, codecs, rows } = lineOf("storage") as Line & StorageResult;
  for (const { rounds } of append) {
    for (const side of Object.values(rounds[0]!)) expect(side.recordsPerSecond).toBeGreaterThan(0);
  }
  for (const driver of ["better-sqlite3", "bun:sqlite"] as const) {
    const { messagesPerRound } = TINY_STORAGE.flush;
    expect(flush[`${driver}, zstd`][0]!.stored.bytes).toBeGreaterThan(packedBytes(messagesPerRound));
    expect(pages[0]!.spread[driver][0]!.coldMs.p50).toBeGreaterThan(0);
    expect(rows[driver][0]!.getBlock).toBeGreaterThan(0);
  }
  // Other drivers, the same store: byte for byte they keep as much.
  expect(flush["bun:sqlite, zstd"][0]!.stored.bytes).toBe(flush["better-sqlite3, zstd"][0]!.stored.bytes);
  expect(recovery.nothingFlushed[0]!.records).toBeGreaterThan(recovery.mostFlushed[0]!.records);
  expect(recovery.mostFlushed[0]!.records).toBeGreaterThan(0);
  expect(corpus[0]!.stored.bytes).toBeGreaterThan(0);
  for (const { ratio } of codecs[0]!.codecs) expect(ratio).toBeLessThan(1);
});

/** All texts in one piece, as small as they get: no store takes less, whatever the texts are. */
function packedBytes(messages: number): number {
  const { lines: texts } = loadTexts(undefined, TINY_STORAGE.linesMax);
  return zstdCompressSync(texts.slice(0, messages).join("\n")).length;
}

test("the page opens without a network, has a chart of every bench, and no figure is missing in its text", () => {
  const html = readFileSync(report, "utf8");
  expectSelfContained(html);
  const charts = chartsIn(html);
  expect([...html.matchAll(/data-chart="(\d+)"/g)].map(([, at]) => Number(at))).toEqual([...charts.keys()]);
  for (const name of NAMES) expect(html).toContain(`<h2 id="${name}">`);
});
