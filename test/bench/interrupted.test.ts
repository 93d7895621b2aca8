import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MAIN } from "./bench-program.ts";

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
