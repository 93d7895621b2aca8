/**
 * The write-ahead log on disk.
 *
 *     file     head | frame… | zeros (room prepared ahead)
 *     head     "PARLEYWL" | u32 version | u32 file number | u32 crc of the 16 bytes before
 *     frame    u32 magic | u32 body bytes | u32 file number | u32 crc of the body and the 8 bytes before | body
 *     body     record… (storage/record.ts)
 *
 * One frame is one group commit: it is there whole or not at all. Checksums are CRC-32 (IEEE): it is native in the runtime and finds what
 * CRC32C finds. Integers little-endian.
 *
 * After a crash the last file may end in a part of a frame (a *torn tail*): nothing of it was acknowledged, it is cut. A bad frame with a
 * good frame behind it was whole once: that is corruption.
 */
import { CorruptionError, FormatError } from "../errors.ts";

export const WAL_VERSION = 1;
export const FILE_HEAD_BYTES = 20;
export const FRAME_HEAD_BYTES = 16;
const FILE_MAGIC = Buffer.from("PARLEYWL", "latin1");
const FRAME_MAGIC = 0x4d524650;

export const walFileName = (fileNo: number): string => `${String(fileNo).padStart(10, "0")}.wal`;

/** The number in a file's name, or undefined for what is not a log file. */
export function walFileNo(name: string): number | undefined {
  return /^\d{10}\.wal$/.test(name) ? Number(name.slice(0, 10)) : undefined;
}

export function fileHead(fileNo: number): Buffer {
  const head = Buffer.alloc(FILE_HEAD_BYTES);
  FILE_MAGIC.copy(head);
  head.writeUInt32LE(WAL_VERSION, 8);
  head.writeUInt32LE(fileNo, 12);
  head.writeUInt32LE(Bun.hash.crc32(head.subarray(0, 16)), 16);
  return head;
}

/** Fills in the head of the frame that is `bytes[0, length)`, head included. */
export function sealFrame(bytes: Buffer, length: number, fileNo: number): void {
  bytes.writeUInt32LE(FRAME_MAGIC, 0);
  bytes.writeUInt32LE(length - FRAME_HEAD_BYTES, 4);
  bytes.writeUInt32LE(fileNo, 8);
  bytes.writeUInt32LE(frameCrc(bytes, 0, length), 12);
}

function frameCrc(bytes: Buffer, from: number, to: number): number {
  const seed = Bun.hash.crc32(bytes.subarray(from + 4, from + 12));
  return Bun.hash.crc32(bytes.subarray(from + FRAME_HEAD_BYTES, to), seed);
}

/** End of the whole, checked frame at `at`, or undefined. */
function frameEnd(bytes: Buffer, at: number, fileNo: number): number | undefined {
  if (at + FRAME_HEAD_BYTES > bytes.length || bytes.readUInt32LE(at) !== FRAME_MAGIC) return undefined;
  const end = at + FRAME_HEAD_BYTES + bytes.readUInt32LE(at + 4);
  if (end > bytes.length || bytes.readUInt32LE(at + 8) !== fileNo) return undefined;
  return bytes.readUInt32LE(at + 12) === frameCrc(bytes, at, end) ? end : undefined;
}

const isZero = (bytes: Buffer, from: number): boolean => {
  for (let at = from; at < bytes.length; at++) if (bytes[at] !== 0) return false;
  return true;
};

/** Whether a whole frame stands anywhere after `from`. */
function goodFrameAfter(bytes: Buffer, from: number, fileNo: number): boolean {
  const magic = Buffer.alloc(4);
  magic.writeUInt32LE(FRAME_MAGIC);
  for (let at = bytes.indexOf(magic, from); at >= 0; at = bytes.indexOf(magic, at + 1)) {
    if (frameEnd(bytes, at, fileNo) !== undefined) return true;
  }
  return false;
}

export type WalFileScan = {
  /** Bytes of head and whole frames. */
  wholeBytes: number;
  /** Whether something that is not zeros follows them: a torn tail. */
  torn: boolean;
};

/**
 * Walks the frames of one file, calling `frame` with each body's bounds.
 * @param isLast only the last file of the log may end in a torn tail.
 * @throws CorruptionError for anything else that fails its check; FormatError for a newer version.
 */
export function scanWalFile(
  file: string,
  bytes: Buffer,
  fileNo: number,
  isLast: boolean,
  frame: (from: number, to: number) => void,
): WalFileScan {
  if (!checkHead(file, bytes, fileNo, isLast)) return { wholeBytes: 0, torn: true };
  let at = FILE_HEAD_BYTES;
  for (;;) {
    const end = frameEnd(bytes, at, fileNo);
    if (end === undefined) break;
    frame(at + FRAME_HEAD_BYTES, end);
    at = end;
  }
  if (isZero(bytes, at)) return { wholeBytes: at, torn: false };
  if (!isLast) throw new CorruptionError(file, `byte ${at}`, "a frame fails its checksum in a file that is not the last");
  if (goodFrameAfter(bytes, at + 1, fileNo)) throw new CorruptionError(file, `byte ${at}`, "a frame fails its checksum and whole frames follow");
  return { wholeBytes: at, torn: true };
}

/** False for a last file whose head was not yet written whole. */
function checkHead(file: string, bytes: Buffer, fileNo: number, isLast: boolean): boolean {
  const head = bytes.subarray(0, FILE_HEAD_BYTES);
  const isWhole = head.length === FILE_HEAD_BYTES && head.readUInt32LE(16) === Bun.hash.crc32(head.subarray(0, 16));
  if (!isWhole || !head.subarray(0, 8).equals(FILE_MAGIC)) {
    if (isLast && !goodFrameAfter(bytes, 0, fileNo)) return false;
    throw new CorruptionError(file, "byte 0", "the file head fails its checksum");
  }
  const version = head.readUInt32LE(8);
  if (version > WAL_VERSION) throw new FormatError(file, version, WAL_VERSION);
  if (head.readUInt32LE(12) !== fileNo) throw new CorruptionError(file, "byte 12", `the file says it is number ${head.readUInt32LE(12)}`);
  return true;
}
