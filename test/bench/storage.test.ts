import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../support/wait.ts";
import { bench, MAIN } from "./bench-program.ts";

const NO_CORPUS = join(import.meta.dir, "../../bench");

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "parley-bench-test-"));
  try {
    await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
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
