/** CPU time of a server, with all that it started, and of the process that measures it, between two moments. */
import { processTreeCpuMs } from "./process-cpu.ts";

export type Reading = { at: number; serverCpuMs: number; loadCpuMs: number };
export type Usage = {
  seconds: number;
  /** CPU of one of what was counted, µs. */
  serverCpuMicros: number;
  loadCpuMicros: number;
  /** CPU time over elapsed time: how many cores were busy. */
  serverCores: number;
  loadCores: number;
};

export function readMeter(serverPid: number): Reading {
  const own = process.cpuUsage();
  return {
    at: performance.now(),
    serverCpuMs: processTreeCpuMs(serverPid),
    loadCpuMs: (own.user + own.system) / 1000,
  };
}

export function usageBetween(before: Reading, after: Reading, count: number): Usage {
  const seconds = (after.at - before.at) / 1000;
  const serverCpuMs = after.serverCpuMs - before.serverCpuMs;
  const loadCpuMs = after.loadCpuMs - before.loadCpuMs;
  return {
    seconds: rounded(seconds, 3),
    serverCpuMicros: rounded((serverCpuMs * 1000) / count, 2),
    loadCpuMicros: rounded((loadCpuMs * 1000) / count, 2),
    serverCores: rounded(serverCpuMs / 1000 / seconds, 3),
    loadCores: rounded(loadCpuMs / 1000 / seconds, 3),
  };
}

export const rounded = (value: number, digits: number): number => Math.round(value * 10 ** digits) / 10 ** digits;
