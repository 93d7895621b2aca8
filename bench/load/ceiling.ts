/** What the load itself can do, so that nobody takes its limit for a server's. */
import type { Usage } from "../measure/meter.ts";

/** @param rounds against the server that does least */
export function loadCeiling(rounds: readonly (Usage & { deliveredPerSecond: number })[]): string {
  const cheapest = Math.min(...rounds.map(({ loadCpuMicros }) => loadCpuMicros));
  const fastest = rounds.toSorted((a, b) => b.deliveredPerSecond - a.deliveredPerSecond)[0]!;
  return (
    `The load's own ceiling: one thread that spends at least ${cheapest.toFixed(1)} µs on a message, so ` +
    `${Math.round(1e6 / cheapest)} a second with a core of its own. Its fastest round against the server that does ` +
    `least had ${fastest.deliveredPerSecond} a second, with the load busy on ${fastest.loadCores.toFixed(2)} cores. A ` +
    "server whose rate is near that may be faster than this load can show; its CPU a message counts in any case."
  );
}
