/**
 * The write-ahead log on disk, drawn.
 *
 *     file     header | frame… | mark? | zeros (room prepared ahead)
 *     header   "PARLEYWL" | u32 version | u32 file number | u32 chain | u32 crc of the 20 bytes before
 *     frame    u32 magic | u32 body bytes | u32 file number | u32 chain | u32 crc of the body | u32 crc of the 20 bytes before | body
 *     body     record… (storage/encoding/record.ts); none in a *mark*
 *
 * One frame is one group commit: it is there whole or not at all. `chain` is the last checksum of the header before: of
 * the frame before, of the file header for a file's first frame, of the last frame of the file before for a file header
 * (0 in file 1). So a frame says that the one before it was durable, since one write is under way at a time, and what
 * it was. A mark says the same when no frame follows.
 *
 * Integers little-endian. Checksums are CRC-32 (IEEE). The magic holds bytes that no UTF-8 text has: nobody can send a
 * frame in a message. What can be told apart, and what cannot: storage/log/local/README.md.
 */

export const WAL_VERSION = 1;
export const FILE_HEADER_BYTES = 24;
export const FRAME_HEADER_BYTES = 24;
const HEADER_CRC_AT = 20;
/** Where a file header says what it goes on from. */
const CHAIN_AT = 16;
export const CHAIN_PLACE = `byte ${CHAIN_AT}`;
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

export function fileHeader(fileNo: number, chain: number): Buffer {
  const header = Buffer.alloc(FILE_HEADER_BYTES);
  FILE_MAGIC.copy(header);
  header.writeUInt32LE(WAL_VERSION, 8);
  header.writeUInt32LE(fileNo, 12);
  header.writeUInt32LE(chain, 16);
  header.writeUInt32LE(headerCrc(header, 0), HEADER_CRC_AT);
  return header;
}

/** What the file says of itself; undefined when its header is not whole. */
export function readFileHeader(bytes: Buffer): { version: number; fileNo: number; chain: number } | undefined {
  if (bytes.length < FILE_HEADER_BYTES || bytes.readUInt32LE(HEADER_CRC_AT) !== headerCrc(bytes, 0)) return undefined;
  if (!bytes.subarray(0, FILE_MAGIC.length).equals(FILE_MAGIC)) return undefined;
  return { version: bytes.readUInt32LE(8), fileNo: bytes.readUInt32LE(12), chain: bytes.readUInt32LE(16) };
}

/** The chain that the frame at `at` goes on with: that of what stood before it. */
export const chainOf = (bytes: Buffer, at: number): number => bytes.readUInt32LE(at + 12);

/** The chain that goes on behind the header, of a file or a frame, at `at`. */
export const chainAfter = (bytes: Buffer, at: number): number => bytes.readUInt32LE(at + HEADER_CRC_AT);

/** What the file whose bytes these are goes on from. */
export const fileChain = (bytes: Buffer): number => bytes.readUInt32LE(CHAIN_AT);

/** Fills in the header of the frame that is `bytes[0, length)`, header included. */
export function sealFrame(bytes: Buffer, length: number, fileNo: number, chain: number): void {
  bytes.writeUInt32LE(FRAME_MAGIC, 0);
  bytes.writeUInt32LE(length - FRAME_HEADER_BYTES, 4);
  bytes.writeUInt32LE(fileNo, 8);
  bytes.writeUInt32LE(chain, 12);
  bytes.writeUInt32LE(bodyCrc(bytes, 0, length), 16);
  bytes.writeUInt32LE(headerCrc(bytes, 0), HEADER_CRC_AT);
}

const headerCrc = (bytes: Buffer, at: number): number => Bun.hash.crc32(bytes.subarray(at, at + HEADER_CRC_AT));
const bodyCrc = (bytes: Buffer, at: number, end: number): number =>
  Bun.hash.crc32(bytes.subarray(at + FRAME_HEADER_BYTES, end));

/** Where a frame stands in the log. `chain` undefined: any. */
export type FrameLocation = { fileNo: number; chain: number | undefined };

/**
 * End of the frame whose header at `at` is whole, undefined when the header is not, or the frame ends behind the file.
 */
export function endByHeader(bytes: Buffer, at: number, { fileNo, chain }: FrameLocation): number | undefined {
  if (at + FRAME_HEADER_BYTES > bytes.length || bytes.readUInt32LE(at) !== FRAME_MAGIC) return undefined;
  if (bytes.readUInt32LE(at + HEADER_CRC_AT) !== headerCrc(bytes, at)) return undefined;
  if (bytes.readUInt32LE(at + 8) !== fileNo || (chain !== undefined && bytes.readUInt32LE(at + 12) !== chain))
    return undefined;
  const bodyBytes = bytes.readUInt32LE(at + 4);
  const end = at + FRAME_HEADER_BYTES + bodyBytes;
  return bodyBytes <= BODY_BYTES_MAX && end <= bytes.length ? end : undefined;
}

/** End of the whole, checked frame at `at`, or undefined. */
export function frameEnd(bytes: Buffer, at: number, place: FrameLocation): number | undefined {
  const end = endByHeader(bytes, at, place);
  return end !== undefined && bytes.readUInt32LE(at + 16) === bodyCrc(bytes, at, end) ? end : undefined;
}

export function isZero(bytes: Buffer, from: number, to = bytes.length): boolean {
  for (let at = from; at < to; at++) if (bytes[at] !== 0) return false;
  return true;
}

/** Where the next whole frame from `from` on begins; undefined when there is none. */
export function nextFrame(bytes: Buffer, from: number, fileNo: number): number | undefined {
  for (let at = bytes.indexOf(FRAME_MAGIC_BYTES, from); at >= 0; at = bytes.indexOf(FRAME_MAGIC_BYTES, at + 1)) {
    if (frameEnd(bytes, at, { fileNo, chain: undefined }) !== undefined) return at;
  }
  return undefined;
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
 * Whether all sectors of what stands at `at` arrived, although it is no whole frame. A crash leaves that only where a
 * sector has garbage in it; damage at rest leaves it always. For people: it proves nothing.
 */
export function isWrittenThrough(bytes: Buffer, at: number, fileNo: number): boolean {
  if (at + FRAME_HEADER_BYTES > bytes.length) return false;
  const hasHeader = bytes.readUInt32LE(at + HEADER_CRC_AT) === headerCrc(bytes, at);
  if (!hasHeader) return hasEachSector(bytes, at, at + FRAME_HEADER_BYTES);
  const end = endByHeader(bytes, at, { fileNo, chain: undefined });
  return end !== undefined && hasEachSector(bytes, at, end);
}
