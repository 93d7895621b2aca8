import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { TINY_STORAGE } from "../../bench/storage/storage-options.ts";
import type { Aim } from "../../bench/bench.ts";
import type { StorageResult } from "../../bench/storage/storage-result.ts";
import { loadTexts } from "../../bench/measure/texts.ts";
import { until } from "../support/wait.ts";
import { bench, MAIN } from "./bench-program.ts";
import { expectSelfContained } from "./self-contained.ts";

const NO_CORPUS = join(import.meta.dir, "../../bench");

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "parley-bench-test-"));
  try {
    await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("the tiny storage bench measures every part with both drivers, prints one line of JSON, and leaves nothing behind", async () => {
  await inFolder(async (folder) => {
    const report = join(folder, "report.html");
    const work = mkdtempSync(join(folder, "work-"));
    const { out, errors, status } = await bench("storage", "--tiny", "--json", "--report", report, "--dir", work);
    expect({ status, errors: status === 0 ? "" : errors }).toEqual({ status: 0, errors: "" });
    expect(readdirSync(work)).toEqual([]);
    expect(out.trimEnd().split("\n").length).toBe(1);
    checkFigures(JSON.parse(out) as Judged);
    expect(errors).toContain("write + fdatasync, growing file");
    expectSelfContained(readFileSync(report, "utf8"));
  });
});

type Judged = StorageResult & { aims: (Aim & { isMet: boolean })[] };

function checkFigures({ append, flush, pages, recovery, corpus, codecs, rows, aims }: Judged): void {
  for (const { rounds } of append) {
    for (const side of Object.values(rounds[0]!)) expect(side.recordsPerSecond).toBeGreaterThan(0);
  }
  for (const driver of ["better-sqlite3", "bun:sqlite"] as const) {
    expect(flush[`${driver}, zstd`][0]!.stored.bytes).toBeGreaterThan(packedBytes(TINY_STORAGE.flush.messagesPerRound));
    expect(pages[0]!.spread[driver][0]!.coldMs.p50).toBeGreaterThan(0);
    expect(rows[driver][0]!.getBlock).toBeGreaterThan(0);
  }
  // Other drivers, the same store: byte for byte they keep as much.
  expect(flush["bun:sqlite, zstd"][0]!.stored.bytes).toBe(flush["better-sqlite3, zstd"][0]!.stored.bytes);
  expect(recovery.nothingFlushed[0]!.records).toBeGreaterThan(recovery.mostFlushed[0]!.records);
  expect(recovery.mostFlushed[0]!.records).toBeGreaterThan(0);
  expect(corpus[0]!.stored.bytes).toBeGreaterThan(0);
  for (const { ratio } of codecs[0]!.codecs) expect(ratio).toBeLessThan(1);
  expect(aims.map(({ isMet, measured, atMost }) => isMet === measured <= atMost!)).not.toContain(false);
}

/** All texts in one piece, as small as they get: no store takes less, whatever the texts are. */
function packedBytes(messages: number): number {
  const { lines } = loadTexts(undefined, TINY_STORAGE.linesMax);
  return zstdCompressSync(lines.slice(0, messages).join("\n")).length;
}

test("a storage bench that is interrupted ends the process it started and removes what it wrote", async () => {
  await inFolder(async (folder) => {
    const child = Bun.spawn([process.execPath, MAIN, "storage", "--dir", folder], {
      ...{ cwd: import.meta.dir, stdout: "ignore", stderr: "pipe" },
    });
    const errors = new Response(child.stderr).text();
    const started = await firstChildren(child.pid);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(1);
    expect(await errors).toContain("bench: ended by SIGTERM");
    expect(started.length).toBe(1);
    expect(started.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
    expect(readdirSync(folder)).toEqual([]);
  });
});

test("a folder without logs is refused as a corpus, and a folder that is not there to write to", async () => {
  expect(await bench("storage", "--tiny", "--corpus", NO_CORPUS)).toMatchObject({
    status: 1,
    errors: expect.stringContaining("give another --corpus DIR"),
  });
  expect(await bench("storage", "--tiny", "--dir", join(NO_CORPUS, "nowhere"))).toMatchObject({
    status: 1,
    errors: expect.stringContaining("nowhere does not exist"),
  });
});

/** A part's process, as soon as there is one that has begun to write. */
async function firstChildren(parent: number): Promise<number[]> {
  let children: number[] = [];
  await until("a part writes", () => (children = childrenOf(parent).filter(writesFiles)).length > 0);
  return children;
}

function writesFiles(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) =>
      readlinkSync(`/proc/${pid}/fd/${fd}`).includes("parley-storage-"),
    );
  } catch {
    return false;
  }
}

/** From /proc: the second field after the name is the parent. */
function childrenOf(parent: number): number[] {
  const pids = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  return pids.filter((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === parent;
    } catch {
      return false;
    }
  });
}
