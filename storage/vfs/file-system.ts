/**
 * The file system as the write-ahead log uses it: few calls, callbacks on the hot path, so that a test can put a failing one in its place.
 * Not a general wrapper: what the log does not need is not here.
 */
import {
  closeSync,
  constants,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statfsSync,
  unlinkSync,
  write,
  writeSync,
  close,
  fsync,
  open,
} from "node:fs";

export type FileHandle = number & { readonly __file: unique symbol };
type Done = (error: Error | null) => void;

export type FileSystem = {
  makeDirectory(path: string): void;
  list(path: string): string[];
  read(path: string): Buffer;
  /** Opens for writing such that a finished `write` is on disk with its data and the size needed to read it (O_DSYNC). */
  openDurable(path: string, create: boolean): FileHandle;
  /** Writes all of `bytes[from, to)` at `position`; short writes are continued. */
  write(file: FileHandle, bytes: Buffer, from: number, to: number, position: number, done: Done): void;
  writeNow(file: FileHandle, bytes: Buffer, position: number): void;
  close(file: FileHandle): void;
  rename(from: string, to: string): void;
  remove(path: string): void;
  /** Cuts a file and makes the cut durable. */
  truncate(path: string, length: number): void;
  /** Makes names created, renamed or removed in a directory durable. */
  syncDirectory(path: string): void;
  /** Bytes that the file system of a directory has left; quotas may leave less. */
  freeBytes(path: string): number;
  /** Writes a file of `length` zeros, durable, without blocking the caller; `stopped` is asked between steps. */
  fillZeros(path: string, length: number, stopped: () => boolean, done: Done): void;
};

const ZEROS_STEP = 1 << 20;

function writeAll(file: number, bytes: Buffer, from: number, to: number, position: number, done: Done): void {
  write(file, bytes, from, to - from, position, (error, written) => {
    if (error) return done(error);
    if (written === to - from) return done(null);
    if (written === 0) return done(new Error(`wrote 0 of ${to - from} bytes at ${position}`));
    writeAll(file, bytes, from + written, to, position + written, done);
  });
}

function fillZeros(path: string, length: number, stopped: () => boolean, done: Done): void {
  const zeros = Buffer.alloc(Math.min(ZEROS_STEP, length));
  open(path, "w", 0o600, (openError, file) => {
    if (openError) return done(openError);
    const end = (error: Error | null): void => close(file, (closeError) => done(error ?? closeError ?? null));
    const step = (position: number): void => {
      if (stopped()) return end(new Error("stopped"));
      if (position >= length) return fsync(file, end);
      const to = Math.min(zeros.length, length - position);
      writeAll(file, zeros, 0, to, position, (error) => (error ? end(error) : step(position + to)));
    };
    step(0);
  });
}

export const realFileSystem: FileSystem = {
  makeDirectory: (path) => void mkdirSync(path, { recursive: true, mode: 0o700 }),
  list: (path) => readdirSync(path),
  read: (path) => readFileSync(path),
  openDurable: (path, create) =>
    openSync(
      path,
      constants.O_WRONLY | constants.O_DSYNC | (create ? constants.O_CREAT | constants.O_EXCL : 0),
      0o600,
    ) as FileHandle,
  write: writeAll,
  writeNow(file, bytes, position) {
    for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at, bytes.length - at, position + at);
  },
  close: (file) => closeSync(file),
  rename: (from, to) => renameSync(from, to),
  remove: (path) => unlinkSync(path),
  truncate(path, length) {
    const file = openSync(path, "r+");
    try {
      ftruncateSync(file, length);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  },
  syncDirectory(path) {
    const file = openSync(path, "r");
    try {
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  },
  freeBytes(path) {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  },
  fillZeros,
};
