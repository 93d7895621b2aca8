/**
 * A directory that is held open, so that it stays the same one even when its name is changed.
 *
 * A name can be moved, removed, or given to another directory while a program works under it. A program that goes by
 * the name then puts its next file where somebody else works. So paths for system calls begin with `at`. On Linux that
 * is `/proc/self/fd/N`: the system goes to the directory that the descriptor N holds, without looking its name up.
 * Elsewhere, or without /proc, it is the name itself. `path` is the name for people; `named` puts it into messages.
 *
 * `check` says whether the name still means this directory. Where `at` is the name, it stands before each making,
 * renaming and removing of a file, and a move between the two calls goes unnoticed until the next check. Where `at` is
 * a descriptor no file can go astray, and `check` says whether to go on at all.
 *
 * SQLite looks every path up by itself and keeps the name it found: `presentName` is what it is given, and `isSameFile`
 * says afterwards whether that was right.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { DirectoryLostError } from "../errors.ts";

/** Identifies a directory for as long as it is held open. Plain data, which a worker can be given. */
export type DirectoryIdentity = { path: string; lookAt: string; device: bigint; inode: bigint };

type Kept = { fd: number; identity: DirectoryIdentity };

export class HeldDirectory {
  /** Absolute, as it was asked for. */
  readonly path: string;
  /** What paths for system calls begin with. */
  readonly at: string;
  readonly identity: DirectoryIdentity;
  readonly #fd: number;
  /** Without their descriptors a directory that is made anew could get the number of the one that was removed. */
  readonly #kept: Kept[] = [];
  readonly #checks: (() => void)[] = [];

  /** @param descriptors where the system shows what a process has open; for tests */
  static open(path: string, descriptors = "/proc/self/fd"): HeldDirectory {
    const fd = openDirectory(path);
    try {
      return new HeldDirectory(path, fd, descriptors);
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
  }

  private constructor(path: string, fd: number, descriptors: string) {
    this.path = path;
    this.#fd = fd;
    this.identity = identityOf(fd, path, path);
    const at = join(descriptors, String(fd));
    this.at = isSameFile(at, path) ? at : path;
    checkIdentity(this.identity);
  }

  /** From now on the directory of this name in it has to stay the same, too. */
  keep(name: string): void {
    if (this.#kept.some(({ identity }) => identity.path === join(this.path, name))) return;
    const lookAt = join(this.at, name);
    const fd = openDirectory(lookAt);
    this.#kept.push({ fd, identity: identityOf(fd, join(this.path, name), lookAt) });
  }

  /** Another descriptor of the directory, for the caller to close. @throws DirectoryLostError */
  openAgain(): number {
    const fd = openDirectory(this.at);
    const { device, inode } = identityOf(fd, this.path, this.path);
    if (device === this.identity.device && inode === this.identity.inode) return fd;
    fs.closeSync(fd);
    throw new DirectoryLostError(`another directory is at ${this.path} now`);
  }

  /** From now on part of `check`. */
  addCheck(check: () => void): void {
    this.#checks.push(check);
  }

  /**
   * @throws DirectoryLostError when the name does not mean this directory any more, or one that was kept in it is
   * another
   */
  check(): void {
    checkIdentity(this.identity);
    for (const { identity } of this.#kept) checkIdentity(identity);
    for (const check of this.#checks) check();
  }

  /** A text for people: with the name in the place of `at`. */
  readonly named = (text: string): string => {
    if (this.at === this.path) return text;
    return text.replaceAll(new RegExp(`${this.at}(?![0-9])`, "g"), () => this.path);
  };

  close(): void {
    for (const { fd } of this.#kept.splice(0)) fs.closeSync(fd);
    fs.closeSync(this.#fd);
  }
}

/** @throws DirectoryLostError */
export function checkIdentity(identity: DirectoryIdentity): void {
  const { path } = identity;
  let found: boolean;
  try {
    found = isThere(identity);
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    const isGone = code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP";
    throw new DirectoryLostError(isGone ? `${path} was moved or removed` : `${path} cannot be reached (${code})`);
  }
  if (!found) throw new DirectoryLostError(`another directory is at ${path} now`);
}

const ANCHOR = /^\/proc\/self\/fd\/\d+(?=\/|$)/;

/** The name that a path below `at` has just now, for a program that looks paths up by itself. */
export function presentName(path: string): string {
  const anchor = ANCHOR.exec(path)?.[0];
  return anchor === undefined ? path : fs.readlinkSync(anchor) + path.slice(anchor.length);
}

/** Whether both are there and one file. */
export function isSameFile(one: string, other: string): boolean {
  if (one === other) return true;
  try {
    const [a, b] = [fs.statSync(one, { bigint: true }), fs.statSync(other, { bigint: true })];
    return a.ino === b.ino && a.dev === b.dev;
  } catch {
    return false;
  }
}

const openDirectory = (path: string): number => fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);

function identityOf(fd: number, path: string, lookAt: string): DirectoryIdentity {
  const { dev, ino } = fs.fstatSync(fd, { bigint: true });
  return { path, lookAt, device: dev, inode: ino };
}

function isThere({ lookAt, device, inode }: DirectoryIdentity): boolean {
  const { dev, ino } = fs.statSync(lookAt, { bigint: true });
  return ino === inode && dev === device;
}
