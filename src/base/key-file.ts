/** Secret keys of a data directory: made at first start, kept for ever. */
import { readFile } from "node:fs/promises";
import { writeFileDurably } from "./durable-file.ts";
import type { Random } from "./random.ts";

/** A key that is there and cannot be one. */
export class KeyFileError extends Error {
  override readonly name = "KeyFileError";
}

/** @throws KeyFileError when the file is there but has another size: what it signed or encrypted would be lost by making a new one. */
export async function loadOrCreateKey(path: string, bytes: number, random: Random): Promise<Uint8Array<ArrayBuffer>> {
  const existing = await readIfThere(path);
  if (existing === undefined) {
    const key = new Uint8Array(random.bytes(bytes));
    await writeFileDurably(path, key, 0o600);
    return key;
  }
  if (existing.length === bytes) return new Uint8Array(existing);
  throw new KeyFileError(`${path}: ${existing.length} bytes, expected ${bytes}; restore it from a backup`);
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
