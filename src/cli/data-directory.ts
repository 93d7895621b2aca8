/**
 * The data directory, used by one process at a time. Its locks tell which process has it (directory-lock.ts). The open
 * directory tells which one it is (storage/vfs/held-directory.ts): everything that the process writes goes to the
 * directory that it has locked, even after that was moved.
 *
 * A process that writes locks it exclusively, and removes the manifest first (storage/tools/manifest.ts). A process
 * that only reads a directory at rest shares the lock.
 */
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { systemClock } from "../base/clock.ts";
import { DirectoryLostError } from "../../storage/errors.ts";
import { amendManifest, MANIFEST, noteConstants, retireManifest, writeManifest } from "../../storage/tools/manifest.ts";
import { HeldDirectory } from "../../storage/vfs/held-directory.ts";
import { DirectoryLock, type Flock, type LockKind } from "./directory-lock.ts";
import { FatalError } from "./fatal-error.ts";
import { giveToOwnerOf } from "./owner.ts";
import { hasUnfinishedSwap } from "./repair-journal.ts";
import { errnoOf, fatalFromDisk } from "./startup-errors.ts";

/** `parley keys` holds the lock for a moment, so others try again. */
const LOCK_TRIES = 10;
const LOCK_AGAIN_MS = 10;
/** How long `parley keys` waits for a server that is stopping. */
const AMEND_WAIT_MS = 5000;
const MANIFEST_MS = 5000;
/** Private: it holds messages and password hashes. */
const DIRECTORY_MODE = 0o700;

/** Made at the first start, kept for ever. */
export const CONSTANT_FILES = ["id.key", "token.key"];

export type DataDirectory = {
  /** The path as people know it. */
  path: string;
  /** The locked directory. Paths of its files begin with its `at`. */
  held: HeldDirectory;
  release: () => void;
};

/**
 * Makes the directory if it is missing, and locks it for writing. @throws FatalError dataUnwritable, dataLocked,
 * diskFull
 */
export function lockDataDirectory(path: string, flock?: Flock): DataDirectory {
  const directory = resolve(path);
  if (hasUnfinishedSwap(directory)) throw cutShort(directory);
  try {
    mkdirSync(directory, { recursive: true, mode: DIRECTORY_MODE });
    accessSync(directory, constants.W_OK | constants.X_OK);
    return open(directory, "exclusive", flock, (held, lock) => {
      retireManifest(held.at);
      lock.note();
    });
  } catch (error) {
    throw cannotUse(directory, error);
  }
}

/**
 * Locks a directory for reading, so that no server starts on it. Changes nothing in it. @throws FatalError dataLocked,
 * dataUnwritable when there is none
 */
export function lockForReading(path: string, flock?: Flock): DataDirectory {
  const directory = resolve(path);
  if (!existsSync(directory)) throw hasUnfinishedSwap(directory) ? cutShort(directory) : missing(directory);
  try {
    return open(directory, "shared", flock, () => {});
  } catch (error) {
    throw cannotUse(directory, error);
  }
}

function open(
  directory: string,
  kind: LockKind,
  flock: Flock | undefined,
  taken: (held: HeldDirectory, lock: DirectoryLock) => void,
): DataDirectory {
  const held = HeldDirectory.open(directory);
  let lock: DirectoryLock | undefined;
  try {
    lock = takeLock(held, kind, flock);
    taken(held, lock);
    held.addCheck(() => lock!.check());
    held.check();
  } catch (error) {
    lock?.release();
    held.close();
    throw error;
  }
  return { path: directory, held, release: releaseOnce(held, lock) };
}

/** Releases once only: the number of a closed file is soon used for another file. */
function releaseOnce(held: HeldDirectory, lock: DirectoryLock): () => void {
  let isReleased = false;
  return () => {
    if (isReleased) return;
    isReleased = true;
    lock.release();
    held.close();
  };
}

export const missing = (directory: string): FatalError =>
  new FatalError("dataUnwritable", `there is no data directory ${directory}`, { hint: "say where it is with --data" });

const cutShort = (directory: string): FatalError =>
  new FatalError("dataUnwritable", `a repair of ${directory} was cut short while it was put in its place`, {
    hint: `finish it: parley repair --in-place --data ${directory}`,
  });

/**
 * Called once a server has started, so that its keys can be checked after a crash. A full disk must not stop the server
 * for that.
 */
export const noteKeys = ({ held }: DataDirectory): Promise<void> =>
  noteConstants(held.at, CONSTANT_FILES).catch(() => {});

/**
 * Writes the manifest. A process that locked the directory for writing calls it last, when every file in it is closed.
 * Without a manifest nothing is lost, but `parley verify` can promise less.
 */
export async function leaveAtRest({ held }: DataDirectory, say: (line: string) => void): Promise<void> {
  const end = systemClock.monotonicMs() + MANIFEST_MS;
  try {
    held.check();
    const { files, covered } = await writeManifest(held.at, () => systemClock.monotonicMs() > end);
    if (covered < files) say(`parley: no time to read ${files - covered} of ${files} files for the manifest\n`);
  } catch (error) {
    const reason =
      error instanceof DirectoryLostError ? error.message : (errnoOf(error) ?? held.named((error as Error).message));
    say(`parley: no manifest (${reason}); parley verify can promise less\n`);
    return;
  }
  giveToOwnerOf(held.at, held.at, say);
}

/**
 * For a command that has replaced one file without locking the directory: updates the manifest, if there is one. A
 * server that is stopping at that moment sees the change itself, before it releases the lock.
 */
export async function amendAtRest(held: HeldDirectory, file: string): Promise<void> {
  const giveUpAt = systemClock.monotonicMs() + AMEND_WAIT_MS;
  while (existsSync(join(held.at, MANIFEST))) {
    const lock = DirectoryLock.acquire(held, "exclusive");
    try {
      if (lock !== undefined) return await amendManifest(held.at, file);
    } finally {
      lock?.release();
    }
    // Another process reads for long. No manifest is better than a wrong one.
    if (systemClock.monotonicMs() > giveUpAt) return retireManifest(held.at);
    await new Promise<void>((resolveWait) => void systemClock.after(LOCK_AGAIN_MS, resolveWait));
  }
}

function takeLock(held: HeldDirectory, kind: LockKind, flock: Flock | undefined): DirectoryLock {
  for (let tries = 1; ; tries++) {
    const lock = DirectoryLock.acquire(held, kind, flock);
    if (lock !== undefined) return lock;
    if (tries < LOCK_TRIES) Bun.sleepSync(LOCK_AGAIN_MS);
    else throw locked(held);
  }
}

function locked(held: HeldDirectory): FatalError {
  return new FatalError("dataLocked", `data directory ${held.path} is in use by ${ownerOf(join(held.at, "LOCK"))}`, {
    hint: "stop that server, or use another --data",
  });
}

function cannotUse(directory: string, error: unknown): FatalError {
  if (error instanceof FatalError) return error;
  const reason = error instanceof DirectoryLostError ? error.message : (errnoOf(error) ?? String(error));
  return (
    fatalFromDisk(error, `data directory ${directory}`) ??
    new FatalError("dataUnwritable", `data directory ${directory} cannot be used (${reason})`, { cause: error })
  );
}

function ownerOf(lockFile: string): string {
  const pid = Number(readIfThere(lockFile));
  if (!(pid > 0)) return "another process";
  // A reader leaves the text of LOCK as it is: it names a server that has ended.
  return isAlive(pid) ? `process ${pid}` : "another process, such as parley verify";
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return errnoOf(error) === "EPERM";
  }
}
