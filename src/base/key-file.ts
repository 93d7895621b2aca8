/** Secret keys of a data directory. They are made at the first start and kept for ever. */
import { readFile } from "node:fs/promises";
import { writeFileDurably } from "./durable-file.ts";
import type { Random } from "./random.ts";

/** A key file that cannot hold a key. */
export class KeyFileError extends Error {
  override readonly name = "KeyFileError";
}

/**
 * @throws KeyFileError when the file has another size. A new key would make everything that the old one signed or
 * encrypted useless.
 */
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
