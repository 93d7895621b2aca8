/**
 * Looks through the log of a store that is not open and says all that is wrong with it. Changes nothing.
 *
 * It is stricter than recovery where recovery loses nothing by going on: a bit that flipped in room that holds no frame
 * is found, too.
 */
import { join } from "node:path";
import { decodeOperations, readRecordHeader } from "../../encoding/record.ts";
import { type Offset, type Seq, SHARD_COUNT, type ShardId, type Term } from "../../types.ts";
import type { FileSystem } from "../../vfs/file-system.ts";
import { CHAIN_PLACE, isWrittenThrough, walFileName, walFileNo } from "./frame.ts";
import { readExtent } from "./log-extent.ts";
import { EMPTIED, isEmptied, reachOf } from "./read-log.ts";
import { scanWalFile } from "./scan.ts";
import { PREPARED_NAME } from "./wal-files.ts";

/**
 * `isWrittenThrough`: no sector of it is missing. A crash seldom leaves that, damage at rest always does; which of them
 * it was nothing can prove.
 */
export type TornTail = { file: string; at: number; bytes: number; isWrittenThrough: boolean };

export type LogFault = { file: string; place: string; what: string };

/**
 * What the log holds of one shard. Offsets in between are all there, or there is a fault or a jump. Records that are
 * there once more count once: a shard that is copied here from another node is copied again when that was cut off.
 */
export type LogShard = { firstOffset: Offset; lastOffset: Offset; term: Term; jumps: LogJump[] };

/** Offsets are missing before `to`. Where a shard has come from another node, its files have them. */
export type LogJump = { to: Offset; fault: LogFault };

export type LogCheck = {
  files: number;
  bytes: number;
  records: number;
  shards: Map<ShardId, LogShard>;
  /** The log ends in a mark: it was closed, or had rested. */
  isMarked: boolean;
  /** Damaged parts that were passed over; each is among the faults. */
  gaps: number;
  /** A torn tail, as a crash leaves it: the next start cuts it. */
  torn: TornTail | undefined;
  faults: LogFault[];
  /** Numbers of files that do not go on where the one before ends. */
  broken: number[];
};

/** Hears of each entry that the log holds, in the order of the log. */
export type EntryVisitor = (shard: ShardId, stream: string, seq: Seq, place: EntryPlace) => void;

/** `gaps`: damaged parts of the log before it, and jumps of the shard. What does not follow over one is not there. */
export type EntryPlace = { file: string; place: string; gaps: number };

/** @throws FormatError when the log is of a newer version */
export function checkLog(
  directory: string,
  files: FileSystem,
  progress: (bytes: number) => void = () => {},
  visit: EntryVisitor = () => {},
): LogCheck {
  const check: LogCheck = {
    files: 0,
    bytes: 0,
    records: 0,
    shards: new Map(),
    isMarked: false,
    gaps: 0,
    torn: undefined,
    faults: [],
    broken: [],
  };
  const names = files.list(directory);
  const numbers = names
    .map(walFileNo)
    .filter((number) => number !== undefined)
    .toSorted((a, b) => a - b);
  const { extent } = readExtent(directory, files);
  const { first, last } = reachOf(numbers, extent);
  let chain: number | undefined = first === 1 ? 0 : undefined;
  let before = first - 1;
  for (const fileNo of numbers) {
    if (fileNo !== before + 1) {
      noteMissing(directory, before + 1, check);
      chain = undefined;
    }
    chain = checkFile(directory, files, { fileNo, isLast: fileNo === last, chain }, check, progress, visit);
    before = fileNo;
  }
  if (before < last) noteMissing(directory, before + 1, check);
  else if (extent !== undefined && check.torn?.at === 0 && isEmptied(files.read(check.torn.file), last, extent)) {
    check.gaps++;
    check.faults.push({ file: check.torn.file, place: "byte 0", what: EMPTIED });
    check.torn = undefined;
  }
  if (names.includes(PREPARED_NAME)) checkPrepared(join(directory, PREPARED_NAME), files, check);
  return check;
}

function noteMissing(directory: string, fileNo: number, check: LogCheck): void {
  check.gaps++;
  check.faults.push({
    file: join(directory, walFileName(fileNo)),
    place: "this name",
    what: "a log file is missing",
  });
}

type Place = Parameters<typeof scanWalFile>[2];

/** @returns the chain for the file after it; undefined when that cannot be known */
function checkFile(
  directory: string,
  files: FileSystem,
  place: Place,
  check: LogCheck,
  progress: (bytes: number) => void,
  visit: EntryVisitor,
): number | undefined {
  const file = join(directory, walFileName(place.fileNo));
  const bytes = files.read(file);
  check.files++;
  check.bytes += bytes.length;
  const scan = scanWalFile(
    file,
    bytes,
    place,
    (from, to) => checkFrame(file, bytes, from, to, check, visit),
    ({ error, isEmpty }) => {
      if (!isEmpty) check.gaps++;
      check.faults.push({ file: error.file, place: error.place, what: error.message });
      if (error.place === CHAIN_PLACE) check.broken.push(place.fileNo);
    },
  );
  check.isMarked = scan.isMarked;
  if (scan.torn) noteTail(file, bytes, scan.wholeBytes, place.fileNo, check);
  progress(bytes.length);
  return scan.chain;
}

/**
 * One bit that is set in room for frames is no remains of a frame. Zeros alone are a prepared file whose header was not
 * written yet.
 */
function noteTail(file: string, bytes: Buffer, at: number, fileNo: number, check: LogCheck): void {
  const isSet = (byte: number): boolean => byte !== 0;
  const behind = bytes.subarray(at).findIndex(isSet);
  const first = at + behind;
  const isAlone = behind >= 0 && bytes.subarray(first + 1).findIndex(isSet) < 0;
  const value = bytes[first]!;
  if (isAlone && (value & (value - 1)) === 0)
    check.faults.push({ file, place: `byte ${first}`, what: "a bit is set behind the last frame" });
  else check.torn = { file, at, bytes: bytes.length - at, isWrittenThrough: isWrittenThrough(bytes, at, fileNo) };
}

function checkPrepared(file: string, files: FileSystem, check: LogCheck): void {
  const at = files.read(file).findIndex((byte) => byte !== 0);
  if (at >= 0) check.faults.push({ file, place: `byte ${at}`, what: "a file prepared for the log is not all zeros" });
}

function checkFrame(file: string, bytes: Buffer, from: number, to: number, check: LogCheck, visit: EntryVisitor): void {
  for (let at = from; at < to;) {
    const { shard, term, offset, opsAt, end } = readRecordHeader(bytes, at);
    const place = `byte ${at}`;
    if (end > to || end < opsAt || shard >= SHARD_COUNT) {
      check.gaps++;
      check.faults.push({ file, place, what: "a record is not whole" });
      return;
    }
    check.records++;
    const known = check.shards.get(shard);
    if (known === undefined) check.shards.set(shard, { firstOffset: offset, lastOffset: offset, term, jumps: [] });
    else if (offset <= known.lastOffset) {
      at = end;
      continue;
    } else {
      if (offset !== known.lastOffset + 1) {
        const what = `shard ${shard} goes on with offset ${offset} after ${known.lastOffset}`;
        known.jumps.push({ to: offset, fault: { file, place, what } });
      }
      if (term < known.term)
        check.faults.push({ file, place, what: `shard ${shard} falls from term ${known.term} to ${term}` });
      known.lastOffset = offset;
      known.term = term;
    }
    const jumps = known?.jumps.length ?? 0;
    try {
      decodeOperations(bytes, opsAt, end, {
        entry: (stream, _lane, _key, seq) => visit(shard, stream, seq, { file, place, gaps: check.gaps + jumps }),
        cell() {},
        key() {},
        erase() {},
      });
    } catch (error) {
      check.faults.push({ file, place, what: `the record cannot be read: ${(error as Error).message}` });
    }
    at = end;
  }
}
