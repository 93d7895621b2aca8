/** A log file without the records of most shards: what is kept of it when the others need it no more. */
import { RECORD_HEADER_BYTES, recordEnd, recordShard } from "../../encoding/record.ts";
import type { ShardId } from "../../types.ts";
import { chainAfter, fileHeader, FRAME_HEADER_BYTES, sealFrame } from "./frame.ts";
import { type LogGap, scanWalFile } from "./scan.ts";

export type FilteredFile = {
  /**
   * A log file of the same number, with a frame for each that has records of such a shard; undefined when there is
   * none.
   */
  bytes: Buffer | undefined;
  /** Damaged parts, which may hold records of any shard. */
  gaps: LogGap[];
};

export function filterWalFile(
  file: string,
  bytes: Buffer,
  fileNo: number,
  isKept: (shard: ShardId) => boolean,
): FilteredFile {
  const gaps: LogGap[] = [];
  const frames: Buffer[] = [fileHeader(fileNo, 0)];
  let chain = chainAfter(frames[0]!, 0);
  const keep = (from: number, to: number): void => {
    const records = recordsOf(bytes, from, to, isKept);
    if (records.length === 0) return;
    const frame = Buffer.concat([Buffer.alloc(FRAME_HEADER_BYTES), ...records]);
    sealFrame(frame, frame.length, fileNo, chain);
    chain = chainAfter(frame, 0);
    frames.push(frame);
  };
  scanWalFile(file, bytes, { fileNo, isLast: false, chain: undefined }, keep, (gap) => {
    if (!gap.isEmpty) gaps.push(gap);
  });
  return { bytes: frames.length > 1 ? Buffer.concat(frames) : undefined, gaps };
}

function recordsOf(bytes: Buffer, from: number, to: number, isKept: (shard: ShardId) => boolean): Buffer[] {
  const records: Buffer[] = [];
  for (let at = from; at < to;) {
    const end = recordEnd(bytes, at);
    // What is not whole may be of any shard.
    if (end > to || end < at + RECORD_HEADER_BYTES) return [bytes.subarray(from, to)];
    if (isKept(recordShard(bytes, at))) records.push(bytes.subarray(at, end));
    at = end;
  }
  return records;
}
