/**
 * Opens a log store on a log that recovery-write.ts left, in a process that did nothing before: time and memory of recovery. The system's page cache is
 * warm, as after the crash of a process, not of a machine. It can be done again: a recovery changes nothing but the end of the last file.
 */
import type { Offset, ShardId } from "../../storage/types.ts";
import { cpuMicros, peakResidentBytes, round4 } from "./measure.ts";
import type { PartContext } from "./part.ts";
import { forgetfulSegments, openLog, openSegments } from "./stores.ts";

export type RecoverParameters = {
  walFileBytes: number;
  /** What segments have; none: nothing was ever flushed. */
  flushed: [shard: ShardId, through: Offset][];
};

export type RecoverFigures = {
  seconds: number;
  logBytes: number;
  /** Records that went into memtables. */
  records: number;
  mbPerSecond: number;
  cpuSeconds: number;
  /** Of the whole process, and what it had before it began. */
  peakResidentBytes: number | undefined;
  residentBytesBefore: number | undefined;
};

export async function recoverOnce(
  parameters: RecoverParameters,
  { directory, progress }: PartContext,
): Promise<RecoverFigures> {
  progress(0, 1);
  const { walFileBytes, flushed } = parameters;
  const segments = flushed.length > 0 ? forgetfulSegments(new Map(flushed)) : openSegments({ dir: directory });
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
