/**
 * The write-ahead log for people: frames and records in order, beside a running server too.
 *
 * A log that is being written to can be caught in the middle of a write: then its last file is read again, a few times.
 * What is read is then what was there at some moment. Files that were trimmed between listing and reading are left out.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { CorruptionError } from "../errors.ts";
import { decodeOperations, readRecordHeader, type OperationVisitor, type RecordHeader } from "../encoding/record.ts";
import { chainAfter, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, walFileName, walFileNo } from "../log/local/frame.ts";
import { scanWalFile } from "../log/local/scan.ts";
import { readWholeFile } from "../vfs/whole-file.ts";

export type LogFrame = {
  fileNo: number;
  file: string;
  /** Where its header begins. */
  at: number;
  bytes: number;
  /** Records are in `buffer[from, to)`. A mark has none. */
  buffer: Buffer;
  from: number;
  to: number;
};

export type LogEnd = {
  fileNo: number;
  file: string;
  bytes: number;
  wholeBytes: number;
  frames: number;
  isMarked: boolean;
  torn: boolean;
};

export type LogVisitor = {
  /** True ends the reading. */
  frame(frame: LogFrame): boolean | void;
  /** After the frames of a file. */
  fileEnd?(end: LogEnd): void;
};

/** Numbers of the log files, rising. */
export function logFiles(directory: string): number[] {
  const wal = join(directory, "wal");
  if (!existsSync(wal)) return [];
  return readdirSync(wal)
    .map(walFileNo)
    .filter((number) => number !== undefined)
    .toSorted((a, b) => a - b);
}

const READS_MAX = 5;

/** @throws CorruptionError where the log is damaged, after the frames before that place */
export function readLog(directory: string, visit: LogVisitor): void {
  const numbers = logFiles(directory);
  let chain: number | undefined = numbers[0] === 1 ? 0 : undefined;
  for (const fileNo of numbers) {
    const path = join(directory, "wal", walFileName(fileNo));
    const place = { fileNo, isLast: fileNo === numbers.at(-1), chain };
    const frames = framesOf(path, place);
    if (frames === undefined) continue;
    for (const frame of frames.list) if (visit.frame(frame) === true) return;
    if (frames.error !== undefined) throw frames.error;
    visit.fileEnd?.(frames.end!);
    chain = frames.chain;
  }
}

type FileFrames = { list: LogFrame[]; end?: LogEnd; chain: number | undefined; error?: CorruptionError };

/** Undefined when the file is gone. */
function framesOf(path: string, place: Parameters<typeof scanWalFile>[2]): FileFrames | undefined {
  for (let reads = 1; ; reads++) {
    if (!existsSync(path)) return undefined;
    const found = tryFrames(path, readWholeFile(path), place);
    if (found.error === undefined || !place.isLast || reads === READS_MAX) return found;
  }
}

function tryFrames(file: string, buffer: Buffer, place: Parameters<typeof scanWalFile>[2]): FileFrames {
  const list: LogFrame[] = [];
  const { fileNo } = place;
  // Marks stand between: the scan tells of frames with records alone.
  let next = FILE_HEADER_BYTES;
  const addMarks = (until: number): void => {
    for (; next < until; next += FRAME_HEADER_BYTES) {
      const to = next + FRAME_HEADER_BYTES;
      list.push({ fileNo, file, at: next, bytes: FRAME_HEADER_BYTES, buffer, from: to, to });
    }
  };
  try {
    const scan = scanWalFile(file, buffer, place, (from, to) => {
      const at = from - FRAME_HEADER_BYTES;
      addMarks(at);
      list.push({ fileNo, file, at, bytes: to - at, buffer, from, to });
      next = to;
    });
    addMarks(scan.wholeBytes);
    const { wholeBytes, frames, isMarked, torn } = scan;
    return { list, chain: scan.chain, end: { fileNo, file, bytes: buffer.length, wholeBytes, frames, isMarked, torn } };
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    return { list, chain: list.length > 0 ? chainAfter(buffer, list.at(-1)!.at) : undefined, error };
  }
}

/** Calls `record` for each record of a frame; `operations` walks what is in it. */
export function eachRecord(
  { buffer, from, to }: LogFrame,
  record: (header: RecordHeader & { at: number }, operations: (visit: OperationVisitor) => void) => boolean | void,
): void {
  for (let at = from; at < to;) {
    const header = readRecordHeader(buffer, at);
    if (record({ ...header, at }, (visit) => decodeOperations(buffer, header.opsAt, header.end, visit)) === true)
      return;
    at = header.end;
  }
}
