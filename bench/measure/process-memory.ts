/** Memory of another process, from Linux's accounting. */
import { readFileSync } from "node:fs";
import { processCpuMs } from "./process-cpu.ts";

const LOOK_MS = 100;
/** A process that used less of a core than this since the last look has nothing more to do. */
const IDLE_CORES = 0.03;
const QUIET_LOOKS = 3;
const SETTLE_MS_MAX = 10_000;

/** Resident bytes. */
export function residentBytes(pid: number): number {
  const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return found === null ? Number.NaN : Number(found[1]) * 1024;
}

/** Resident bytes once the process rests, or after ten seconds: garbage is collected some time after the work. */
export async function settledBytes(pid: number): Promise<number> {
  const until = performance.now() + SETTLE_MS_MAX;
  let quiet = 0;
  for (let before = processCpuMs(pid); quiet < QUIET_LOOKS && performance.now() < until;) {
    await Bun.sleep(LOOK_MS);
    const now = processCpuMs(pid);
    quiet = now - before < LOOK_MS * IDLE_CORES ? quiet + 1 : 0;
    before = now;
  }
  return residentBytes(pid);
}
