/**
 * Copies a data directory for repair: its files alone, durably, and also what can only be read in part. A disk that
 * refuses some bytes (EIO) is damage of these bytes, and not a reason to save nothing.
 */
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import type { FoundFile } from "../inventory.ts";
import { readAt, type ReadAt, systemRead } from "./torn-read.ts";

const CHUNK_BYTES = 4 << 20;

export type UnreadablePart = { path: string; from: number; to: number };

/**
 * @param files of `from`; `to` is a directory that is there
 * @param copied called with the bytes of each piece
 * @returns what could not be read. In the copy it is filled with bytes that no checksum takes for what was there.
 */
export async function copyFiles(
  from: string,
  to: string,
  files: readonly FoundFile[],
  copied: (bytes: number) => void = () => {},
  read: ReadAt = systemRead,
): Promise<UnreadablePart[]> {
  const unreadable: UnreadablePart[] = [];
  for (const { path, kind } of files) {
    if (kind === "directory") fs.mkdirSync(join(to, path), { recursive: true, mode: 0o700 });
    if (kind !== "file") continue;
    fs.mkdirSync(dirname(join(to, path)), { recursive: true, mode: 0o700 });
    const torn = await copyFile(join(from, path), join(to, path), copied, read);
    for (const part of torn) unreadable.push({ path, ...part });
  }
  return unreadable;
}

async function copyFile(from: string, to: string, copied: (bytes: number) => void, read: ReadAt) {
  const torn: { from: number; to: number }[] = [];
  const input = fs.openSync(from, "r");
  const { size } = fs.fstatSync(input);
  const output = fs.openSync(to, "w", 0o600);
  try {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size));
    for (let at = 0; at < size;) {
      const bytes = readAt(input, chunk, at, Math.min(chunk.length, size - at), torn, read);
      if (bytes === 0) break;
      for (let done = 0; done < bytes;) done += fs.writeSync(output, chunk, done, bytes - done, at + done);
      at += bytes;
      copied(bytes);
      await new Promise(setImmediate);
    }
  } finally {
    fs.closeSync(output);
    fs.closeSync(input);
  }
  return torn;
}

/** Every file and directory of the tree, from the leaves up: afterwards a power cut takes nothing of it. */
export async function syncTree(directory: string): Promise<void> {
  for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await syncTree(path);
    else if (entry.isFile()) await syncPath(path);
  }
  await syncPath(directory);
}

async function syncPath(path: string): Promise<void> {
  const file = await fs.promises.open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
