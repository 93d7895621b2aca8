/**
 * Reads the files of the log for recovery, and mends their end.
 *
 * What a crash leaves, and what is done
 * - a torn tail in the last file: cut, durably, before a new file is begun;
 * - a last frame that was read but may be in the system's memory only: made durable before any caller sees what is
 *   in it (otherwise a power cut after a killed process would take back what was shown);
 * - a last file whose header is not whole: removed, its number is free again;
 * - a prepared file that was never used: removed;
 * - a missing file (between two others, or at either end by what the log says of itself, log-extent.ts), or a bad
 *   checksum that is no torn tail: told as a loss. Nothing is guessed.
 *
 * All of it can be done again: a crash in the middle leaves nothing new.
 */
import { join } from "node:path";
import { CorruptionError } from "../../errors.ts";
import type { Steps } from "../../steps.ts";
import type { LogPosition } from "../../types.ts";
import type { FileSystem } from "../../vfs/file-system.ts";
import type { LogRead, LogReader } from "../commit-log.ts";
import { isZero, walFileName, walFileNo } from "./frame.ts";
import type { Extent } from "./log-extent.ts";
import { scanWalFileSteps, type WalFileScan } from "./scan.ts";
import { PREPARED_NAME, type WalPlace } from "./wal-files.ts";

export type LocalRead = LogRead & {
  oldestFileNo: number;
  newestFileNo: number;
  /** Goes on in the header of the next file. */
  chain: number | undefined;
};

export type ReadOptions = {
  /** `wal` of the data directory. */
  directory: string;
  files: FileSystem;
  /** Where a write failed before, when the process has lived on. */
  unacked: WalPlace | undefined;
  /** The files that must be there, as far as that is known. */
  extent: Extent | undefined;
};

/** Numbers of the log's files, rising. */
export function logFileNumbers(directory: string, files: FileSystem): number[] {
  const numbers = files.list(directory).map(walFileNo);
  return numbers.filter((number) => number !== undefined).toSorted((a, b) => a - b);
}

/**
 * The files from which to which one the log reaches, those that are missing among them: `first` is above `last` where
 * there is none.
 */
export function reachOf(numbers: readonly number[], extent: Extent | undefined): Extent {
  const first = Math.min(numbers[0] ?? Number.POSITIVE_INFINITY, extent?.first ?? Number.POSITIVE_INFINITY);
  return { first: Number.isFinite(first) ? first : 1, last: Math.max(numbers.at(-1) ?? 0, extent?.last ?? 0) };
}

/** @throws CorruptionError, as `reader.loss` does; FormatError; what the system says */
export function* readLogFiles(options: ReadOptions, reader: LogReader): Steps<LocalRead> {
  const { directory, files, extent } = options;
  if (files.list(directory).includes(PREPARED_NAME)) files.remove(join(directory, PREPARED_NAME));
  const numbers = logFileNumbers(directory, files);
  const read: LocalRead = {
    oldestFileNo: numbers[0] ?? 1,
    newestFileNo: 0,
    bytes: 0,
    chain: 0,
    isMarked: true,
    tornBytes: 0,
  };
  const room = new Room(files);
  const { first, last } = reachOf(numbers, extent);
  let before = first - 1;
  for (const number of numbers) {
    if (number !== before + 1) missing(directory, before + 1, read, reader);
    read.newestFileNo = before = number;
    yield* readFile(options, number, number === last, read, room, reader);
  }
  if (before >= last) return read;
  missing(directory, before + 1, read, reader);
  return { ...read, newestFileNo: last, isMarked: false };
}

function missing(directory: string, fileNo: number, read: LocalRead, reader: LogReader): void {
  const error = new CorruptionError(directory, walFileName(fileNo), "a log file is missing");
  reader.loss({ error, isEmpty: false });
  read.chain = undefined;
}

function* readFile(
  options: ReadOptions,
  fileNo: number,
  isLast: boolean,
  read: LocalRead,
  room: Room,
  reader: LogReader,
): Steps<void> {
  const name = join(options.directory, walFileName(fileNo));
  const bytes = room.read(name);
  yield;
  // Of what stood before the oldest file nothing is known, once files were trimmed.
  const chain = fileNo > read.oldestFileNo ? read.chain : fileNo === 1 ? 0 : undefined;
  const part = { name, bytes, position: fileNo as LogPosition };
  const scan = yield* scanWalFileSteps(
    name,
    bytes,
    { fileNo, isLast, chain },
    (from, to) => reader.records(part, from, to),
    (gap) => reader.loss(gap),
  );
  read.bytes += scan.wholeBytes;
  if (isLast && scan.torn) read.tornBytes = bytes.length - scan.wholeBytes;
  if (isLast && scan.wholeBytes === 0) return withoutHeader(options, name, bytes, fileNo, read, reader);
  read.chain = scan.chain;
  read.isMarked = scan.isMarked;
  if (isLast) mendEnd(options, name, bytes, fileNo, scan);
}

/** Each file is read to where the one before was: fresh memory for each costs as much as reading it. */
class Room {
  readonly #files: FileSystem;
  #bytes: Buffer | undefined;

  constructor(files: FileSystem) {
    this.#files = files;
  }

  read(path: string): Buffer {
    const bytes = this.#files.read(path, this.#bytes);
    if (bytes.length > (this.#bytes?.length ?? 0)) this.#bytes = bytes;
    return bytes;
  }
}

/**
 * Zeros alone in a file that once had a header, or nothing. Something of its header would say that only that is
 * damaged, and that no frame was there. Of the first file `recent.db` tells.
 */
export const isEmptied = (bytes: Buffer, fileNo: number, extent: Extent): boolean =>
  fileNo > 1 && extent.last >= fileNo && isZero(bytes, 0);
export const EMPTIED = "the file has zeros alone, and was begun";

/** The last file: its header was not written whole, so it holds nothing; or it was, and is not what it was. */
function withoutHeader(
  { files, directory, extent }: ReadOptions,
  path: string,
  bytes: Buffer,
  fileNo: number,
  read: LocalRead,
  reader: LogReader,
): void {
  if (fileNo === 1) reader.neverBegun();
  if (extent !== undefined && isEmptied(bytes, fileNo, extent)) {
    const error = new CorruptionError(path, "byte 0", EMPTIED);
    reader.loss({ error, isEmpty: false });
    read.chain = undefined;
    return;
  }
  files.remove(path);
  // Else it could come back behind a new file of its number's predecessor.
  files.syncDirectory(directory);
  read.newestFileNo = fileNo - 1;
}

/**
 * What is shown from now on is made durable. Synchronizing is enough but for a write that failed: the system may hold
 * it for written. What nobody was told of is therefore written again in its place; frames that were acknowledged are
 * not, since a crash could tear them.
 */
function mendEnd(options: ReadOptions, path: string, bytes: Buffer, fileNo: number, scan: WalFileScan): void {
  const { files, unacked } = options;
  if (scan.torn) files.truncate(path, scan.wholeBytes);
  const from = scan.lastFrameAt ?? 0;
  const isUnacked = unacked !== undefined && unacked.fileNo === fileNo && from >= unacked.position;
  if (!isUnacked && !scan.isMarked && scan.frames > 0) return files.syncFile(path);
  const file = files.openDurable(path, false);
  try {
    files.writeNow(file, bytes.subarray(from, scan.wholeBytes), from);
  } finally {
    files.close(file);
  }
}
