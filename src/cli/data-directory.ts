/**
 * The data directory, taken by one process at a time.
 *
 * The lock is the kernel's (`flock` on the file LOCK), so it ends with the process, however that ends: there are no stale locks.
 * The file's text, the owner's process id, only serves the message; a crash leaves it behind and it means nothing then.
 */
import { dlopen, FFIType } from "bun:ffi";
import { accessSync, closeSync, constants, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import { FatalError } from "./fatal-error.ts";
import { errnoOf, fatalFromDisk } from "./startup-errors.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;
/** Private: it holds messages and password hashes. */
const DIRECTORY_MODE = 0o700;
const LOCK_FILE_MODE = 0o600;

export type DataDirectory = { path: string; release: () => void };

/** Makes the directory if it is missing and takes it. @throws FatalError dataUnwritable, dataLocked, diskFull */
export function takeDataDirectory(path: string): DataDirectory {
  const directory = resolve(path);
  const lockFile = join(directory, "LOCK");
  const fd = openLockFile(directory, lockFile);
  if (!tryLock(fd)) {
    closeSync(fd);
    throw new FatalError("dataLocked", `data directory ${directory} is in use by ${ownerOf(lockFile)}`, {
      hint: "stop that server, or use another --data",
    });
  }
  ftruncateSync(fd);
  writeSync(fd, `${process.pid}\n`, 0);
  return { path: directory, release: () => closeSync(fd) };
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

function tryLock(fd: number): boolean {
  const libc = process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6";
  const library = dlopen(libc, { flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 } });
  try {
    return library.symbols.flock(fd, LOCK_EX | LOCK_NB) === 0;
  } finally {
    library.close();
  }
}

function ownerOf(lockFile: string): string {
  const pid = readFileSync(lockFile, "utf8").trim();
  return pid === "" ? "another process" : `process ${pid}`;
}
