/** Waits for servers to end what they do after a load, so that it is not taken for the cost of the next one. */
import { processTreeCpuMs } from "./process-cpu.ts";

const WATCHED_MS = 50;
const CPU_SHARE = 0.1;

/** Returns when all of them together used nearly no CPU for a moment, at the latest after that time. */
export async function untilQuiet(pids: readonly number[], longestMs: number): Promise<void> {
  const cpuMs = () => pids.reduce((sum, pid) => sum + processTreeCpuMs(pid), 0);
  const until = performance.now() + longestMs;
  for (let before = cpuMs(); performance.now() < until;) {
    await Bun.sleep(WATCHED_MS);
    const after = cpuMs();
    if (after - before < WATCHED_MS * CPU_SHARE) return;
    before = after;
  }
}
