/** What is in a data directory: every name in it, however deep, with what the system says about it. Reads no file. */
import * as fs from "node:fs";
import { join } from "node:path";

export type FoundFile = {
  /** From the data directory, with `/`. */
  path: string;
  /**
   * `other`: a link, a socket, a device; nothing of ours. An empty directory is listed, one with files in it is not.
   */
  kind: "file" | "directory" | "other";
  size: number;
  /** Nanoseconds since 1970. A file that was written to has another one. */
  mtimeNs: bigint;
};

/** In the order of their names. A name that is gone when it is looked at is left out. */
export function listFiles(directory: string): FoundFile[] {
  const found: FoundFile[] = [];
  listInto(found, directory, "");
  return found;
}

function listInto(found: FoundFile[], root: string, below: string): void {
  const names = fs.readdirSync(join(root, below)).toSorted();
  if (names.length === 0 && below !== "") found.push({ path: below, kind: "directory", size: 0, mtimeNs: 0n });
  for (const name of names) {
    const path = below === "" ? name : `${below}/${name}`;
    const stat = fs.lstatSync(join(root, path), { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) continue;
    if (stat.isDirectory()) listInto(found, root, path);
    else found.push({ path, kind: stat.isFile() ? "file" : "other", size: Number(stat.size), mtimeNs: stat.mtimeNs });
  }
}

const CHUNK_BYTES = 4 << 20;

/**
 * CRC-32 of a whole file, a piece at a time; `read` is called with the bytes of each. It finds every flipped bit, and
 * every stretch of up to 32 changed bits.
 */
export async function fileCrc(path: string, read: (bytes: number) => void = () => {}): Promise<number> {
  const file = fs.openSync(path, "r");
  try {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    let crc = 0;
    for (;;) {
      const bytes = fs.readSync(file, chunk, 0, chunk.length, null);
      if (bytes === 0) return crc;
      crc = Bun.hash.crc32(chunk.subarray(0, bytes), crc);
      read(bytes);
      if (bytes === chunk.length) await new Promise(setImmediate);
    }
  } finally {
    fs.closeSync(file);
  }
}
