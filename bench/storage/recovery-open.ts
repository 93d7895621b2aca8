/**
 * Opens a log store on a log from recovery-write.ts, in a process that did nothing before: time and memory of recovery.
 * The system's page cache is warm, as after the crash of a process, not of a machine. It can be repeated: a recovery
 * changes only the end of the last file.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cpuMicros, peakResidentBytes, round4 } from "./measure.ts";
import type { PartContext } from "./part.ts";
import { REACH_FILE } from "./recovery-write.ts";
import { forgetfulSegments, openLog, openSegments, type Reach } from "./stores.ts";

export type RecoverParameters = {
  walFileBytes: number;
  /** Segments have everything up to the offset in the file beside the log; otherwise nothing was ever flushed. */
  isMostFlushed: boolean;
};

export type RecoverFigures = {
  seconds: number;
  logBytes: number;
  /** Records that were put into memtables. */
  records: number;
  mbPerSecond: number;
  cpuSeconds: number;
  /** Peak of the whole process, and its value before recovery. */
  peakResidentBytes: number | undefined;
  residentBytesBefore: number | undefined;
};

export async function recoverOnce(
  parameters: RecoverParameters,
  { directory, progress }: PartContext,
): Promise<RecoverFigures> {
  progress(0, 1);
  const { walFileBytes, isMostFlushed } = parameters;
  const segments = isMostFlushed ? forgetfulSegments(reachIn(directory)) : openSegments({ dir: directory });
  const residentBytesBefore = peakResidentBytes();
  const cpuBefore = cpuMicros();
  const beganAt = performance.now();
  const store = await openLog({ directory, segments, walFileBytes, markAfterMs: 0 });
  const seconds = (performance.now() - beganAt) / 1000;
  const cpuSeconds = round4((cpuMicros() - cpuBefore) / 1e6);
  const peak = peakResidentBytes();
  const { bytes, records } = store.recovery;
  await store.close();
  return {
    seconds: round4(seconds),
    logBytes: bytes,
    records,
    mbPerSecond: round4(bytes / seconds / 1e6),
    cpuSeconds,
    peakResidentBytes: peak,
    residentBytesBefore,
  };
}

function reachIn(directory: string): Reach {
  return JSON.parse(readFileSync(join(directory, REACH_FILE), "utf8")) as Reach;
}
