/** CPU time of a process and all its threads, from Linux's accounting. */
import { readdirSync, readFileSync } from "node:fs";

const TICK_MS = 10;

/** The process and all that it started, directly or not, that have not ended. */
export function processTree(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(processTree)];
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
    );
  } catch {
    // It ended, or the kernel does not say.
    return [];
  }
}

/** CPU time of the process and of all that it started. Each must live until the next reading. */
export function processTreeCpuMs(pid: number): number {
  return processTree(pid).reduce((sum, process) => sum + processCpuMs(process), 0);
}

/**
 * Milliseconds on a CPU since the process began, user and system together. From `schedstat` (nanoseconds) where the
 * kernel keeps it, else from `stat` (ticks of 10 ms). Threads that have ended are in `stat` only, so the larger of the
 * two counts.
 */
export function processCpuMs(pid: number): number {
  const ticks = statCpuMs(pid);
  const precise = schedstatCpuMs(pid);
  return precise + TICK_MS < ticks ? ticks : precise;
}

function statCpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

function schedstatCpuMs(pid: number): number {
  let nanoseconds = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
    } catch {
      // The thread ended between the listing and the reading, or the kernel keeps no schedstat: `stat` has it.
    }
  }
  return nanoseconds / 1e6;
}
