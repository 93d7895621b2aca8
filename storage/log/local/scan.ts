/**
 * Walks the frames of one log file, over damaged parts too.
 *
 * Only what is whole proves something. A part that should hold frames and does not is a *gap*, when something whole
 * behind it proves that it held them: the next frame, or a further file. Behind a gap the walk goes on with the next
 * whole frame: it is of this file, by its number and checksums, so it is what was written. What fails at the end of the
 * last file and is followed by nothing is a torn tail, and no gap.
 *
 * What can be told apart, and what cannot: storage/log/local/README.md.
 */
import { CorruptionError, FormatError } from "../../errors.ts";
import { atOnce, type Steps } from "../../steps.ts";
import {
  CHAIN_PLACE,
  chainAfter,
  chainOf,
  endByHeader,
  FILE_HEADER_BYTES,
  fileHeader,
  FRAME_HEADER_BYTES,
  frameEnd,
  isZero,
  nextFrame,
  readFileHeader,
  WAL_VERSION,
} from "./frame.ts";

export type WalFilePlace = {
  fileNo: number;
  /** Only the last file of the log may end in a torn tail. */
  isLast: boolean;
  /** Chain behind the file before; undefined for the oldest that is left, and behind a gap: then nobody knows it. */
  chain: number | undefined;
};

/** `[from, to)` of a file is not what was written. Frames that began in it are lost. */
export type LogGap = {
  file: string;
  from: number;
  to: number;
  error: CorruptionError;
  /** No frame can have been in it. */
  isEmpty: boolean;
};

export type WalFileScan = {
  /**
   * Bytes up to the end of the last whole frame, or of the last gap. 0 when not even the header is whole: the file was
   * never used.
   */
  wholeBytes: number;
  /** Whether something that is not zeros follows them: a torn tail. */
  torn: boolean;
  /** Frames with records. */
  frames: number;
  /** Where the last whole frame begins, a mark included; undefined when there is none. */
  lastFrameAt: number | undefined;
  /** The last whole frame is a mark: the one before it is known to have been durable. */
  isMarked: boolean;
  /** For the header of the file that follows; undefined when the file ends in a gap. */
  chain: number | undefined;
};

const refuse = ({ error }: LogGap): void => {
  throw error;
};

/** Bytes that are walked in one step: some hundred microseconds. */
const STEP_BYTES = 256 << 10;

/** As `scanWalFileSteps`, at once. */
export function scanWalFile(
  file: string,
  bytes: Buffer,
  place: WalFilePlace,
  frame: (from: number, to: number) => void,
  gap?: (gap: LogGap) => void,
): WalFileScan {
  return atOnce(scanWalFileSteps(file, bytes, place, frame, gap));
}

/**
 * Calls `frame` with the bounds of each body, and `gap` with each gap, in the order of the file.
 * @param gap by default it throws the gap's CorruptionError
 * @throws FormatError for a newer version
 */
export function* scanWalFileSteps(
  file: string,
  bytes: Buffer,
  place: WalFilePlace,
  frame: (from: number, to: number) => void,
  gap: (gap: LogGap) => void = refuse,
): Steps<WalFileScan> {
  const scan: WalFileScan = {
    wholeBytes: 0,
    torn: true,
    frames: 0,
    lastFrameAt: undefined,
    isMarked: false,
    chain: place.chain,
  };
  const framesAt = passHeader(file, bytes, place, scan, gap);
  if (framesAt === undefined) return scan;
  scan.wholeBytes = framesAt;
  do yield* walkFrames(bytes, place.fileNo, scan, frame);
  while (passGap(file, bytes, place, scan, gap));
  return scan;
}

/** Up to the first that is not whole. */
function* walkFrames(
  bytes: Buffer,
  fileNo: number,
  scan: WalFileScan,
  frame: (from: number, to: number) => void,
): Steps<void> {
  for (let stepEndsAt = scan.wholeBytes + STEP_BYTES; ;) {
    const at = scan.wholeBytes;
    if (at >= stepEndsAt) {
      yield;
      stepEndsAt = at + STEP_BYTES;
    }
    const end = frameEnd(bytes, at, { fileNo, chain: scan.chain });
    if (end === undefined) return;
    scan.isMarked = end === at + FRAME_HEADER_BYTES;
    if (!scan.isMarked) {
      frame(at + FRAME_HEADER_BYTES, end);
      scan.frames++;
    }
    scan.lastFrameAt = at;
    scan.chain = chainAfter(bytes, at);
    scan.wholeBytes = end;
  }
}

/** Goes over what stands behind the last whole frame, when it is damage. @returns whether frames may follow */
function passGap(
  file: string,
  bytes: Buffer,
  { fileNo, isLast }: WalFilePlace,
  scan: WalFileScan,
  gap: (gap: LogGap) => void,
): boolean {
  const from = scan.wholeBytes;
  scan.torn = !isZero(bytes, from);
  if (!scan.torn) return false;
  const next = frameBehind(bytes, from, fileNo, scan.chain);
  if (isLast && next === undefined) return false;
  const what = isLast
    ? "a frame fails its checksum and whole frames follow"
    : "a frame fails its checksum in a file that is not the last";
  const to = next?.at ?? bytes.length;
  gap({ file, from, to, error: new CorruptionError(file, `byte ${from}`, what), isEmpty: false });
  scan.wholeBytes = to;
  scan.torn = false;
  scan.chain = next?.chain;
  return next !== undefined;
}

/**
 * Where something follows the damaged frame at `at` that was written after it, and the chain there; undefined when
 * nothing is whole behind it.
 */
function frameBehind(
  bytes: Buffer,
  at: number,
  fileNo: number,
  chain: number | undefined,
): { at: number; chain: number } | undefined {
  const end = endByHeader(bytes, at, { fileNo, chain });
  if (end !== undefined) {
    const after = chainAfter(bytes, at);
    if (endByHeader(bytes, end, { fileNo, chain: after }) !== undefined) return { at: end, chain: after };
  }
  const next = nextFrame(bytes, at + 1, fileNo);
  return next === undefined ? undefined : { at: next, chain: chainOf(bytes, next) };
}

/**
 * @returns where frames begin; undefined for a last file that was never begun, or whose header is not what it was and
 * which holds no whole frame: then it holds nothing.
 */
function passHeader(
  file: string,
  bytes: Buffer,
  { fileNo, isLast, chain }: WalFilePlace,
  scan: WalFileScan,
  gap: (gap: LogGap) => void,
): number | undefined {
  const tell = (to: number, where: string, what: string, isEmpty = false): void =>
    gap({ file, from: 0, to, error: new CorruptionError(file, where, what), isEmpty });
  const header = readFileHeader(bytes);
  if (header === undefined) {
    const first = nextFrame(bytes, 0, fileNo);
    if (isLast && first === undefined) return undefined;
    const isEmpty = first === FILE_HEADER_BYTES && isHeaderBefore(bytes, first, fileNo, chain);
    tell(first ?? bytes.length, "byte 0", "the file header fails its checksum", isEmpty);
    scan.chain = first === undefined ? undefined : chainOf(bytes, first);
    return first ?? bytes.length;
  }
  if (header.version > WAL_VERSION) throw new FormatError(file, header.version, WAL_VERSION);
  if (header.fileNo !== fileNo) {
    tell(bytes.length, "byte 12", `the file says it is number ${header.fileNo}`);
    scan.chain = undefined;
    return bytes.length;
  }
  scan.chain = chainAfter(bytes, 0);
  if (chain !== undefined && header.chain !== chain)
    tell(0, CHAIN_PLACE, "the file does not continue the one before it, whose end is missing or changed");
  return FILE_HEADER_BYTES;
}

/**
 * Whether the first frame names the header that the file must have had, so that nothing is missing between the file
 * before and this frame.
 */
function isHeaderBefore(bytes: Buffer, first: number, fileNo: number, chain: number | undefined): boolean {
  return chain === undefined || chainOf(bytes, first) === chainAfter(fileHeader(fileNo, chain), 0);
}
