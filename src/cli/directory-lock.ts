/**
 * The locks of a data directory. They are kernel locks (`flock`), which end with the process, however it ends. So there
 * are no stale locks.
 *
 * 1. the directory itself    independent of what happens to the names in it 2. the file LOCK in it     keeps out
 * versions of Parley that know only this lock; its text, a process id, is for people and
 *                              means nothing after a crash
 *
 * A process that writes takes both exclusively, a process that only reads shares them. If LOCK is removed while it is
 * locked, `check` makes it again. If an older version has locked a new LOCK before that, `check` throws.
 *
 * Limitation: some file systems lock files but no directories (NFS). There LOCK alone counts, and its owner stops when
 * it is removed. Where nothing can be locked, no process gets the directory.
 */
import { dlopen, FFIType, read } from "bun:ffi";
import * as fs from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { DirectoryLostError, OtherWriterError } from "../../storage/errors.ts";
import type { HeldDirectory } from "../../storage/vfs/held-directory.ts";
import { FatalError } from "./fatal-error.ts";
import { errnoOf } from "./startup-errors.ts";

export type LockKind = "shared" | "exclusive";

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_FILE_MODE = 0o600;

/** Result of locking: done, held by another process, or the errno of why it is not possible. */
type Outcome = "locked" | "held" | { errno: number };
/** `flock`, or a replacement in tests. */
export type Flock = (fd: number, kind: LockKind) => Outcome;

export class DirectoryLock {
  readonly #held: HeldDirectory;
  readonly #flock: Flock;
  readonly #kind: LockKind;
  /** False where the file system cannot lock directories. */
  readonly #isOnDirectory: boolean;
  readonly #isTaken: boolean;
  #directory: number | undefined;
  #file: number | undefined;

  /**
   * Locks the directory. @returns undefined while another process has it
   * @throws FatalError dataUnwritable where nothing can be locked, or with the system's error about LOCK
   */
  static acquire(held: HeldDirectory, kind: LockKind, flock: Flock = systemFlock): DirectoryLock | undefined {
    const directory = held.openAgain();
    let lock: DirectoryLock | undefined;
    try {
      lock = new DirectoryLock(held, kind, directory, flock);
      if (lock.#isTaken) return lock;
    } catch (error) {
      fs.closeSync(directory);
      throw error;
    }
    lock.release();
    return undefined;
  }

  private constructor(held: HeldDirectory, kind: LockKind, directory: number, flock: Flock) {
    this.#held = held;
    this.#kind = kind;
    this.#flock = flock;
    this.#directory = directory;
    const outcome = flock(directory, kind);
    this.#isOnDirectory = outcome === "locked";
    this.#isTaken = outcome !== "held" && this.#takeFile();
  }

  /**
   * Makes LOCK again if it was removed. If that fails now (no descriptors, a full disk), the next call does it.
   * @throws OtherWriterError when another process has locked it meanwhile; DirectoryLostError when it was the only lock
   */
  check(): void {
    const before = this.#file;
    if (before === undefined || this.#kind === "shared" || isNamed(before, this.#path)) return;
    if (!this.#isOnDirectory) throw new DirectoryLostError(`${this.#name} was removed`);
    let isTaken: boolean;
    try {
      isTaken = this.#takeFile();
      if (isTaken) this.note();
    } catch {
      isTaken = true;
    }
    if (!isTaken) throw new OtherWriterError(`${this.#name} was removed, and an older parley has taken it`);
    if (this.#file !== before) fs.closeSync(before);
  }

  /** Writes the id of this process into LOCK. */
  note(): void {
    fs.ftruncateSync(this.#file!);
    fs.writeSync(this.#file!, `${process.pid}\n`, 0);
  }

  release(): void {
    for (const fd of [this.#file, this.#directory]) if (fd !== undefined) fs.closeSync(fd);
    this.#file = undefined;
    this.#directory = undefined;
  }

  get #path(): string {
    return join(this.#held.at, "LOCK");
  }

  get #name(): string {
    return join(this.#held.path, "LOCK");
  }

  /** Locks LOCK. Repeats if the file that it locked has been removed meanwhile. */
  #takeFile(): boolean {
    for (;;) {
      const file = this.#openFile();
      if (file === undefined) return true;
      const outcome = this.#flock(file, this.#kind);
      if (outcome === "locked" && isNamed(file, this.#path)) {
        this.#file = file;
        return true;
      }
      fs.closeSync(file);
      if (outcome === "held") return false;
      if (outcome !== "locked") throw cannotLock(this.#held.path, outcome.errno);
    }
  }

  /** A reader changes nothing. Without LOCK no older version needs to be kept out: it would make LOCK first of all. */
  #openFile(): number | undefined {
    const isOwn = this.#kind === "exclusive";
    const flags = isOwn ? fs.constants.O_RDWR | fs.constants.O_CREAT : fs.constants.O_RDONLY;
    try {
      return fs.openSync(this.#path, flags, LOCK_FILE_MODE);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "ENOENT" && !isOwn) return undefined;
      if (errno === "EISDIR") throw lockIsDirectory(this.#name);
      throw error;
    }
  }
}

function isNamed(file: number, path: string): boolean {
  const named = fs.statSync(path, { bigint: true, throwIfNoEntry: false });
  const { ino, dev } = fs.fstatSync(file, { bigint: true });
  return named !== undefined && named.ino === ino && named.dev === dev;
}

const lockIsDirectory = (path: string): FatalError =>
  new FatalError("dataUnwritable", `${path} is a directory, but must be a file`, {
    hint: "move it away and start again",
  });

function cannotLock(directory: string, errno: number): FatalError {
  const name = Object.entries(constants.errno).find(([, number]) => number === errno)?.[0] ?? `errno ${errno}`;
  return new FatalError("dataUnwritable", `data directory ${directory} cannot be locked (${name})`, {
    hint: "a second server could not be kept out: use a file system with flock, such as a local disk",
  });
}

export const systemFlock: Flock = (fd, kind) => {
  const isMac = process.platform === "darwin";
  const errnoName = isMac ? "__error" : "__errno_location";
  const library = dlopen(isMac ? "libSystem.B.dylib" : "libc.so.6", {
    flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
    [errnoName]: { args: [], returns: FFIType.ptr },
  });
  try {
    const { flock, [errnoName]: errnoAt } = library.symbols as Record<string, (...args: number[]) => number>;
    if (flock!(fd, (kind === "shared" ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0) return "locked";
    const errno = read.i32(errnoAt!());
    return errno === constants.errno.EWOULDBLOCK || errno === 0 ? "held" : { errno };
  } finally {
    library.close();
  }
};
