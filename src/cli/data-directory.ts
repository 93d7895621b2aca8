/**
 * The data directory, taken by one process at a time.
 *
 * The lock is the kernel's (`flock` on the file LOCK), so it ends with the process, however that ends: there are no stale locks.
 * The file's text, the owner's process id, only serves the message; a crash leaves it behind and it means nothing then.
 *
 * Who writes takes it alone, and takes the manifest away first (storage/tools/manifest.ts); who only reads a directory at rest shares it.
 */
import { dlopen, FFIType } from "bun:ffi";
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { systemClock } from "../base/clock.ts";
import { amendManifest, MANIFEST, noteConstants, retireManifest, writeManifest } from "../../storage/tools/manifest.ts";
import { FatalError } from "./fatal-error.ts";
import { errnoOf, fatalFromDisk } from "./startup-errors.ts";

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
/** `parley keys` has it for a moment. */
const LOCK_TRIES = 10;
const LOCK_AGAIN_MS = 10;
/** How long `parley keys` waits for a server that is stopping. */
const AMEND_WAIT_MS = 5000;
const MANIFEST_MS = 5000;
/** Private: it holds messages and password hashes. */
const DIRECTORY_MODE = 0o700;
const LOCK_FILE_MODE = 0o600;

/** Made at the first start, kept for ever. */
export const CONSTANT_FILES = ["id.key", "token.key"];

export type DataDirectory = { path: string; release: () => void };

/** Makes the directory if it is missing and takes it, to write in it. @throws FatalError dataUnwritable, dataLocked, diskFull */
export function takeDataDirectory(path: string): DataDirectory {
  const directory = resolve(path);
  const lockFile = join(directory, "LOCK");
  const fd = openLockFile(directory, lockFile);
  try {
    lock(fd, LOCK_EX, directory);
    retireManifest(directory);
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n`, 0);
  } catch (error) {
    closeSync(fd);
    throw fatalFromDisk(error, `data directory ${directory}`) ?? error;
  }
  return { path: directory, release: releaseOnce(fd) };
}

/** Keeps servers away from a directory that is to be read, and changes nothing in it. @throws FatalError dataLocked, dataUnwritable when there is none */
export function holdDataDirectory(path: string): DataDirectory {
  const directory = resolve(path);
  const lockFile = join(directory, "LOCK");
  if (!existsSync(directory)) throw missing(directory);
  // Without the file no server has it: it makes one first of all.
  if (!existsSync(lockFile)) return { path: directory, release: () => {} };
  const fd = openSync(lockFile, constants.O_RDONLY);
  try {
    lock(fd, LOCK_SH, directory);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return { path: directory, release: releaseOnce(fd) };
}

/** The number of a closed file is soon another file's. */
function releaseOnce(fd: number): () => void {
  let isReleased = false;
  return () => {
    if (!isReleased) closeSync(fd);
    isReleased = true;
  };
}

export const missing = (directory: string): FatalError =>
  new FatalError("dataUnwritable", `there is no data directory ${directory}`, { hint: "say where it is with --data" });

/** Once a server has started, so that its keys can be checked after a crash. A full disk must not stop it for that. */
export const noteKeys = ({ path }: DataDirectory): Promise<void> => noteConstants(path, CONSTANT_FILES).catch(() => {});

/**
 * The last thing that who took a directory does, when every file in it is closed: writes its manifest. Without one nothing is lost but what `parley verify`
 * can promise.
 */
export async function leaveAtRest({ path }: DataDirectory, say: (line: string) => void): Promise<void> {
  const end = systemClock.monotonicMs() + MANIFEST_MS;
  try {
    const { files, covered } = await writeManifest(path, () => systemClock.monotonicMs() > end);
    if (covered < files) say(`parley: no time to read ${files - covered} of ${files} files for the manifest\n`);
  } catch (error) {
    say(`parley: no manifest (${errnoOf(error) ?? (error as Error).message}); parley verify can promise less\n`);
  }
}

/**
 * For a command that has replaced one file without taking the directory: keeps the manifest true, if there is one. A server that is stopping just then sees
 * the change itself, before it lets go.
 */
export async function amendAtRest(path: string, file: string): Promise<void> {
  const directory = resolve(path);
  const giveUpAt = systemClock.monotonicMs() + AMEND_WAIT_MS;
  while (existsSync(join(directory, MANIFEST))) {
    const fd = openSync(join(directory, "LOCK"), constants.O_RDWR | constants.O_CREAT, LOCK_FILE_MODE);
    try {
      if (tryLock(fd, LOCK_EX)) return await amendManifest(directory, file);
    } finally {
      closeSync(fd);
    }
    // Somebody reads for long. No manifest is better than one that is not true.
    if (systemClock.monotonicMs() > giveUpAt) return retireManifest(directory);
    await new Promise<void>((resolveWait) => void systemClock.after(LOCK_AGAIN_MS, resolveWait));
  }
}

function lock(fd: number, how: number, directory: string): void {
  for (let tries = 1; !tryLock(fd, how); tries++) {
    if (tries < LOCK_TRIES) Bun.sleepSync(LOCK_AGAIN_MS);
    else {
      throw new FatalError(
        "dataLocked",
        `data directory ${directory} is in use by ${ownerOf(join(directory, "LOCK"))}`,
        {
          hint: "stop that server, or use another --data",
        },
      );
    }
  }
}

function openLockFile(directory: string, lockFile: string): number {
  try {
    mkdirSync(directory, { recursive: true, mode: DIRECTORY_MODE });
    accessSync(directory, constants.W_OK | constants.X_OK);
    return openSync(lockFile, constants.O_RDWR | constants.O_CREAT, LOCK_FILE_MODE);
  } catch (error) {
    throw fatalFromDisk(error, `data directory ${directory}`) ?? unwritable(directory, error);
  }
}

function unwritable(directory: string, error: unknown): FatalError {
  return new FatalError(
    "dataUnwritable",
    `data directory ${directory} cannot be used (${errnoOf(error) ?? String(error)})`,
    {
      cause: error,
    },
  );
}

function tryLock(fd: number, how: number): boolean {
  const libc = process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6";
  const library = dlopen(libc, { flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 } });
  try {
    return library.symbols.flock(fd, how | LOCK_NB) === 0;
  } finally {
    library.close();
  }
}

function ownerOf(lockFile: string): string {
  const pid = Number(readFileSync(lockFile, "utf8"));
  if (!(pid > 0)) return "another process";
  // Who only reads leaves the text as it is: that of a server which has ended.
  return isAlive(pid) ? `process ${pid}` : "another process, such as parley verify";
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return errnoOf(error) === "EPERM";
  }
}
