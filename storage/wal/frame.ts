/**
 * The write-ahead log on disk, drawn.
 *
 *     file     head | frame… | mark? | zeros (room prepared ahead)
 *     head     "PARLEYWL" | u32 version | u32 file number | u32 chain | u32 crc of the 20 bytes before
 *     frame    u32 magic | u32 body bytes | u32 file number | u32 chain | u32 crc of the body | u32 crc of the 20 bytes before | body
 *     body     record… (storage/record.ts); none in a *mark*
 *
 * One frame is one group commit: it is there whole or not at all. `chain` is the last checksum of the head before: of the frame before, of the
 * file head for a file's first frame, of the last frame of the file before for a file head (0 in file 1). So a frame says that the one before it
 * was durable, since one write is under way at a time, and what it was. A mark says the same when no frame follows.
 *
 * Integers little-endian. Checksums are CRC-32 (IEEE). The magic holds bytes that no UTF-8 text has: nobody can send a frame in a message.
 * What can be told apart, and what cannot: storage/wal/README.md.
 */
import { CorruptionError, FormatError } from "../errors.ts";

export const WAL_VERSION = 1;
export const FILE_HEAD_BYTES = 24;
export const FRAME_HEAD_BYTES = 24;
const HEAD_CRC_AT = 20;
const FILE_MAGIC = Buffer.from("PARLEYWL", "latin1");
const FRAME_MAGIC_BYTES = Buffer.from([0xff, 0x50, 0x46, 0xfe]);
const FRAME_MAGIC = FRAME_MAGIC_BYTES.readUInt32LE(0);
/** More is no frame, but a length that was hit. */
const BODY_BYTES_MAX = 1 << 30;

export const walFileName = (fileNo: number): string => `${String(fileNo).padStart(10, "0")}.wal`;

/** The number in a file's name, or undefined for what is not a log file. */
export function walFileNo(name: string): number | undefined {
  return /^\d{10}\.wal$/.test(name) ? Number(name.slice(0, 10)) : undefined;
}

export function fileHead(fileNo: number, chain: number): Buffer {
  const head = Buffer.alloc(FILE_HEAD_BYTES);
  FILE_MAGIC.copy(head);
  head.writeUInt32LE(WAL_VERSION, 8);
  head.writeUInt32LE(fileNo, 12);
  head.writeUInt32LE(chain, 16);
  head.writeUInt32LE(headCrc(head, 0), HEAD_CRC_AT);
  return head;
}

/** The chain that goes on behind the head, of a file or a frame, at `at`. */
export const chainAfter = (bytes: Buffer, at: number): number => bytes.readUInt32LE(at + HEAD_CRC_AT);

/** Fills in the head of the frame that is `bytes[0, length)`, head included. */
export function sealFrame(bytes: Buffer, length: number, fileNo: number, chain: number): void {
  bytes.writeUInt32LE(FRAME_MAGIC, 0);
  bytes.writeUInt32LE(length - FRAME_HEAD_BYTES, 4);
  bytes.writeUInt32LE(fileNo, 8);
  bytes.writeUInt32LE(chain, 12);
  bytes.writeUInt32LE(bodyCrc(bytes, 0, length), 16);
  bytes.writeUInt32LE(headCrc(bytes, 0), HEAD_CRC_AT);
}

const headCrc = (bytes: Buffer, at: number): number => Bun.hash.crc32(bytes.subarray(at, at + HEAD_CRC_AT));
const bodyCrc = (bytes: Buffer, at: number, end: number): number =>
  Bun.hash.crc32(bytes.subarray(at + FRAME_HEAD_BYTES, end));

/** Where a frame stands in the log. `chain` undefined: any. */
type Place = { fileNo: number; chain: number | undefined };

/** End of the frame whose head at `at` is whole, undefined when the head is not, or the frame ends behind the file. */
function endByHead(bytes: Buffer, at: number, { fileNo, chain }: Place): number | undefined {
  if (at + FRAME_HEAD_BYTES > bytes.length || bytes.readUInt32LE(at) !== FRAME_MAGIC) return undefined;
  if (bytes.readUInt32LE(at + HEAD_CRC_AT) !== headCrc(bytes, at)) return undefined;
  if (bytes.readUInt32LE(at + 8) !== fileNo || (chain !== undefined && bytes.readUInt32LE(at + 12) !== chain))
    return undefined;
  const bodyBytes = bytes.readUInt32LE(at + 4);
  const end = at + FRAME_HEAD_BYTES + bodyBytes;
  return bodyBytes <= BODY_BYTES_MAX && end <= bytes.length ? end : undefined;
}

/** End of the whole, checked frame at `at`, or undefined. */
function frameEnd(bytes: Buffer, at: number, place: Place): number | undefined {
  const end = endByHead(bytes, at, place);
  return end !== undefined && bytes.readUInt32LE(at + 16) === bodyCrc(bytes, at, end) ? end : undefined;
}

function isZero(bytes: Buffer, from: number, to = bytes.length): boolean {
  for (let at = from; at < to; at++) if (bytes[at] !== 0) return false;
  return true;
}

/** Whether a whole frame stands anywhere from `from` on. */
function isFrameAfter(bytes: Buffer, from: number, fileNo: number): boolean {
  for (let at = bytes.indexOf(FRAME_MAGIC_BYTES, from); at >= 0; at = bytes.indexOf(FRAME_MAGIC_BYTES, at + 1)) {
    if (frameEnd(bytes, at, { fileNo, chain: undefined }) !== undefined) return true;
  }
  return false;
}

/** What a disk writes as a whole: a write that was cut short lacks whole ones of these. */
const SECTOR_BYTES = 512;

/** Whether each sector of `[from, to)` holds something. */
function hasEachSector(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to;) {
    const end = Math.min(to, at - (at % SECTOR_BYTES) + SECTOR_BYTES);
    if (isZero(bytes, at, end)) return false;
    at = end;
  }
  return true;
}

/**
 * Whether all sectors of what stands at `at` arrived, although it is no whole frame. A crash leaves that only where a sector has garbage in it; damage at rest
 * leaves it always. For people: it proves nothing.
 */
export function isWrittenThrough(bytes: Buffer, at: number, fileNo: number): boolean {
  if (at + FRAME_HEAD_BYTES > bytes.length) return false;
  const hasHead = bytes.readUInt32LE(at + HEAD_CRC_AT) === headCrc(bytes, at);
  if (!hasHead) return hasEachSector(bytes, at, at + FRAME_HEAD_BYTES);
  const end = endByHead(bytes, at, { fileNo, chain: undefined });
  return end !== undefined && hasEachSector(bytes, at, end);
}

export type WalFilePlace = {
  fileNo: number;
  /** Only the last file of the log may end in a torn tail. */
  isLast: boolean;
  /** Chain behind the file before; undefined for the oldest that is left, of which nobody knows. */
  chain: number | undefined;
};

export type WalFileScan = {
  /** Bytes of head and whole frames. 0 when not even the head is whole: the file was never used. */
  wholeBytes: number;
  /** Whether something that is not zeros follows them: a torn tail. */
  torn: boolean;
  /** Frames with records. */
  frames: number;
  /** Where the last whole frame begins, a mark included; undefined when there is none. */
  lastFrameAt: number | undefined;
  /** The last whole frame is a mark: the one before it is known to have been durable. */
  isMarked: boolean;
  /** For the head of the file that follows. */
  chain: number;
};

/**
 * Walks the frames of one file, calling `frame` with each body's bounds.
 * @throws CorruptionError for anything that fails its check and is no torn tail; FormatError for a newer version.
 */
export function scanWalFile(
  file: string,
  bytes: Buffer,
  place: WalFilePlace,
  frame: (from: number, to: number) => void,
): WalFileScan {
  const { fileNo, isLast } = place;
  const scan: WalFileScan = {
    wholeBytes: 0,
    torn: true,
    frames: 0,
    lastFrameAt: undefined,
    isMarked: false,
    chain: place.chain ?? 0,
  };
  if (!checkFileHead(file, bytes, place)) return scan;
  scan.chain = chainAfter(bytes, 0);
  let at = FILE_HEAD_BYTES;
  for (
    let end = frameEnd(bytes, at, { fileNo, chain: scan.chain });
    end !== undefined;
    end = frameEnd(bytes, at, { fileNo, chain: scan.chain })
  ) {
    scan.isMarked = end === at + FRAME_HEAD_BYTES;
    if (!scan.isMarked) {
      frame(at + FRAME_HEAD_BYTES, end);
      scan.frames++;
    }
    scan.lastFrameAt = at;
    scan.chain = chainAfter(bytes, at);
    at = end;
  }
  scan.wholeBytes = at;
  scan.torn = !isZero(bytes, at);
  if (scan.torn) refuseDamage(file, bytes, at, fileNo, isLast, scan.chain);
  return scan;
}

/** @throws CorruptionError when what stands at `at` was durable once, which whatever is whole behind it proves. Likelihood decides nothing here. */
function refuseDamage(file: string, bytes: Buffer, at: number, fileNo: number, isLast: boolean, chain: number): void {
  const place = `byte ${at}`;
  if (!isLast) throw new CorruptionError(file, place, "a frame fails its checksum in a file that is not the last");
  const end = endByHead(bytes, at, { fileNo, chain });
  const isFollowed =
    end === undefined
      ? isFrameAfter(bytes, at + 1, fileNo)
      : endByHead(bytes, end, { fileNo, chain: chainAfter(bytes, at) }) !== undefined;
  if (isFollowed) throw new CorruptionError(file, place, "a frame fails its checksum and whole frames follow");
}

/** False for a last file whose head was not yet written whole, or is not what it was: as long as no whole frame follows, it holds nothing. */
function checkFileHead(file: string, bytes: Buffer, { fileNo, isLast, chain }: WalFilePlace): boolean {
  const head = bytes.subarray(0, FILE_HEAD_BYTES);
  const isWhole = head.length === FILE_HEAD_BYTES && head.readUInt32LE(HEAD_CRC_AT) === headCrc(head, 0);
  if (!isWhole || !head.subarray(0, 8).equals(FILE_MAGIC)) {
    if (isLast && !isFrameAfter(bytes, 0, fileNo)) return false;
    throw new CorruptionError(file, "byte 0", "the file head fails its checksum");
  }
  const version = head.readUInt32LE(8);
  if (version > WAL_VERSION) throw new FormatError(file, version, WAL_VERSION);
  if (head.readUInt32LE(12) !== fileNo)
    throw new CorruptionError(file, "byte 12", `the file says it is number ${head.readUInt32LE(12)}`);
  if (chain !== undefined && head.readUInt32LE(16) !== chain) {
    throw new CorruptionError(
      file,
      "byte 16",
      "the file does not continue the one before it, whose end is missing or changed",
    );
  }
  return true;
}
