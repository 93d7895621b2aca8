/**
 * Replaces a small file as a whole: after a crash at any moment the path holds the old bytes or the new ones, never a
 * mixture. A crash can leave the temporary file, which the next call overwrites. Not for two writers at once: callers
 * hold a lock.
 */
import { chown, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";

export async function writeFileDurably(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  const temporary = `${path}.new`;
  // An old temporary file may have wider permissions, which opening it again would keep. So it is removed.
  await rm(temporary, { force: true });
  const file = await open(temporary, "wx", mode);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await giveToOwnerOf(dirname(path), temporary);
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/**
 * When root writes into the data directory of a server that runs as another user, that server must be able to read the
 * file.
 */
async function giveToOwnerOf(directory: string, path: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const owner = await stat(directory);
  await chown(path, owner.uid, owner.gid);
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
