/** Reads what can be read of a file on a disk that refuses part of it. */
import * as fs from "node:fs";

/** As `fs.readSync` with a position. */
export type ReadAt = (file: number, into: Buffer, start: number, length: number, position: number) => number;
export const systemRead: ReadAt = fs.readSync;

const SECTOR_BYTES = 4096;
/** Neither the zeros behind the log's end nor anything that passes a checksum. */
const FILLER = 0xee;

type Torn = { from: number; to: number };

/**
 * Fills `into` from its beginning. Sectors that cannot be read are filled up and noted in `torn`.
 * @returns bytes; 0 at the end of the file
 */
export function readAt(
  file: number,
  into: Buffer,
  at: number,
  length: number,
  torn: Torn[],
  read = systemRead,
): number {
  try {
    return read(file, into, 0, length, at);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EIO") throw error;
  }
  for (let done = 0; done < length; done += SECTOR_BYTES) {
    const bytes = Math.min(SECTOR_BYTES, length - done);
    try {
      if (read(file, into, done, bytes, at + done) < bytes)
        throw Object.assign(new Error("cut short"), { code: "EIO" });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EIO") throw error;
      into.fill(FILLER, done, done + bytes);
      note(torn, at + done, at + done + bytes);
    }
  }
  return length;
}

function note(torn: Torn[], from: number, to: number): void {
  const last = torn.at(-1);
  if (last?.to === from) last.to = to;
  else torn.push({ from, to });
}

/** A whole file, and which parts of it are filled up. */
export function readTorn(path: string, read = systemRead): { bytes: Buffer; torn: Torn[] } {
  const torn: Torn[] = [];
  const file = fs.openSync(path, "r");
  try {
    const bytes = Buffer.allocUnsafe(fs.fstatSync(file).size);
    let at = 0;
    while (at < bytes.length) {
      const count = readAt(file, bytes.subarray(at), at, bytes.length - at, torn, read);
      if (count === 0) break;
      at += count;
    }
    return { bytes: bytes.subarray(0, at), torn };
  } finally {
    fs.closeSync(file);
  }
}
