/**
 * How many files this process may have open, how many it has, and what each part of it gets.
 *
 * Linux counts them for us. Elsewhere only the limit is known, and nothing but the log's reserve stands between the sockets and it.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { closeSync, openSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";

export type Descriptors = {
  /** The process's own limit (`ulimit -n`; Bun raises it to what is allowed). */
  readonly limit: number;
  /** How many are open now; undefined where the system does not say. */
  inUse(): number | undefined;
};

/** How the descriptors of a process are shared out; sockets get the rest. */
export type DescriptorBudget = {
  /** Kept back for the log's next file and for its directory. */
  log: number;
  /** Files open for reading, each with up to three descriptors. */
  readHandles: number;
  /** Shards open for writing, each with up to six. */
  writers: number;
  /** Kept free for what is opened for a moment: above `limit - free` idle connections are closed. */
  free: number;
};

const RLIMIT_NOFILE = process.platform === "darwin" ? 8 : 7;
const LIBC = process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6";
/** What stands for "no limit": more than any process opens. */
const UNLIMITED = 1 << 30;
const OPEN_FILES = "/proc/self/fd";

export function systemDescriptors(): Descriptors {
  return { limit: limitOfProcess(), inUse: process.platform === "linux" ? countOpen : () => undefined };
}

/** Those that are open now; none where the system does not say, or has none left to look with. */
export async function openDescriptors(): Promise<number[]> {
  try {
    return (await readdir(OPEN_FILES)).map(Number);
  } catch {
    return [];
  }
}

export function descriptorBudget(limit: number): DescriptorBudget {
  return {
    log: 4,
    readHandles: between(4, Math.floor(limit / 16), 256),
    writers: between(2, Math.floor(limit / 32), 32),
    free: between(24, Math.floor(limit / 8), 1024),
  };
}

const between = (min: number, value: number, max: number): number => Math.min(max, Math.max(min, value));

function limitOfProcess(): number {
  const limits = new BigUint64Array(2);
  const library = dlopen(LIBC, { getrlimit: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 } });
  try {
    const isKnown = library.symbols.getrlimit(RLIMIT_NOFILE, ptr(limits)) === 0;
    return isKnown ? Math.min(UNLIMITED, Number(limits[0])) : UNLIMITED;
  } finally {
    library.close();
  }
}

/** The size of that directory is the number, since Linux 6.2. Before, the lowest free number says that all below it are taken. */
function countOpen(): number | undefined {
  try {
    return statSync(OPEN_FILES).size || lowestFree();
  } catch {
    return undefined;
  }
}

function lowestFree(): number {
  try {
    const file = openSync("/dev/null", "r");
    closeSync(file);
    return file;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
