import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { E2eFigures } from "../../bench/e2e/e2e-result.ts";
import { bench, MAIN } from "./bench-program.ts";
import { expectSelfContained } from "./self-contained.ts";

test("the tiny e2e bench measures both servers, loses nothing, and prints one line of JSON", async () => {
  const folder = mkdtempSync(join(tmpdir(), "parley-report-"));
  try {
    const report = join(folder, "report.html");
    const { out, errors, status } = await bench("e2e", "--tiny", "--json", "--report", report);
    expect({ status, errors: status === 0 ? "" : errors }).toEqual({ status: 0, errors: "" });
    expect(out.trimEnd().split("\n").length).toBe(1);
    const result = JSON.parse(out) as E2eFigures;
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
    expectSelfContained(readFileSync(report, "utf8"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("a bench that is interrupted ends the servers it started and removes their data", async () => {
  const temporary = mkdtempSync(join(tmpdir(), "parley-interrupted-"));
  const child = Bun.spawn([process.execPath, MAIN, "e2e", "--pairs", "4"], {
    ...{ cwd: import.meta.dir, stdout: "ignore", stderr: "pipe" },
    env: { ...process.env, TMPDIR: temporary },
  });
  try {
    let said = "";
    let started: number[] = [];
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) {
      said += decoder.decode(chunk);
      if (started.length > 0 || !said.includes("closed loop")) continue;
      started = childrenOf(child.pid);
      child.kill("SIGTERM");
    }
    expect(await child.exited).toBe(1);
    expect(said).toContain("bench: ended by SIGTERM");
    expect(started.length).toBe(4);
    expect(started.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
    expect(readdirSync(temporary)).toEqual([]);
  } finally {
    child.kill("SIGKILL");
    rmSync(temporary, { recursive: true, force: true });
  }
});

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
