/**
 * The copy that `parley repair` works on: locked, so that no second repair uses it, and without files that are not the
 * server's.
 */
import { readdirSync, rmSync, statfsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileCrc, type FoundFile, listFiles } from "../../storage/tools/inventory.ts";
import { isManifestName, LAST_MANIFEST, MANIFEST, readManifest } from "../../storage/tools/manifest.ts";
import { copyFiles, type UnreadablePart } from "../../storage/tools/repair/copy-files.ts";
import { type ReadAt, systemRead } from "../../storage/tools/repair/torn-read.ts";
import { isKnown } from "../../storage/tools/verify-files.ts";
import { CONSTANT_FILES, type DataDirectory, lockDataDirectory } from "./data-directory.ts";
import { FatalError } from "./fatal-error.ts";
import { COMPANIONS, formatBytes } from "./tool-options.ts";

export type Copied = {
  data: DataDirectory;
  unreadable: UnreadablePart[];
  /** Files that were not copied, because they are not the server's. */
  leftOut: string[];
  /** Keys that are missing or changed, in words. */
  keys: string[];
};

/**
 * @param to a copy that a killed repair left there is made anew
 * @throws FatalError diskFull before anything is made; dataLocked when another repair is at work there
 */
export async function copyToRepair(
  from: string,
  to: string,
  progress: (done: number, total: number) => void,
  read: ReadAt = systemRead,
): Promise<Copied> {
  const found = listFiles(from).filter(({ path }) => path !== "LOCK" && !isManifestName(path));
  const files = found.filter((file) => isKnown(file, COMPANIONS));
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const data = lockDataDirectory(to);
  try {
    for (const name of readdirSync(data.held.at))
      if (name !== "LOCK") rmSync(join(data.held.at, name), { recursive: true, force: true });
    requireRoom(to, total, freeBytes(dirname(to)));
    let done = 0;
    const unreadable = await copyFiles(from, data.held.at, files, (bytes) => progress((done += bytes), total), read);
    const lostKeys = CONSTANT_FILES.filter((name) => unreadable.some(({ path }) => path === name));
    // A key of which a part can be guessed is worse than none.
    for (const name of lostKeys) rmSync(join(data.held.at, name));
    return { data, unreadable, leftOut: namesOf(found, files), keys: await changedKeys(from, lostKeys) };
  } catch (error) {
    data.release();
    throw error;
  }
}

const namesOf = (found: readonly FoundFile[], files: readonly FoundFile[]): string[] => {
  const copied = new Set(files);
  return found.filter((file) => !copied.has(file)).map(({ path }) => path);
};

function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}

/** @throws FatalError diskFull */
export function requireRoom(to: string, bytes: number, free: number): void {
  if (bytes <= free) return;
  rmSync(to, { recursive: true, force: true });
  throw new FatalError("diskFull", `the copy ${to} needs ${formatBytes(bytes)}, and ${formatBytes(free)} are free`, {
    hint: "make room, or give a --to on another disk",
  });
}

/**
 * The store's checksums do not cover the keys. Only the manifest of the last clean stop can tell whether they changed.
 */
async function changedKeys(from: string, lost: readonly string[]): Promise<string[]> {
  const manifests = [LAST_MANIFEST, MANIFEST].map((name) => tryManifest(join(from, name)));
  const said: string[] = [];
  const names = new Set(listFiles(from).map(({ path }) => path));
  for (const name of CONSTANT_FILES) {
    const crc = manifests.findLast((manifest) => manifest?.get(name)?.crc !== undefined)?.get(name)?.crc;
    if (lost.includes(name)) said.push(`${name} cannot be read and is made anew: ${LOST_KEY[name]}`);
    else if (!names.has(name)) said.push(`${name} is missing and is made anew: ${LOST_KEY[name]}`);
    else if (crc !== undefined && (await fileCrc(join(from, name))) !== crc)
      said.push(`${name} has changed: ${LOST_KEY[name]}`);
  }
  return said;
}

const LOST_KEY: Record<string, string> = {
  "id.key": "all messages have other ids unless it comes back from a backup",
  "token.key": "everybody has to log in anew unless it comes back from a backup",
};

function tryManifest(path: string) {
  try {
    return readManifest(path);
  } catch {
    return undefined;
  }
}
