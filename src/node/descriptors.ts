/**
 * How many files this process may have open, how many it has, and the share of each part of the server.
 *
 * Limitation: the number of open files is known on Linux only. Elsewhere only the limit is known, and the log's reserve
 * is the only protection.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { closeSync, openSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";

export type Descriptors = {
  /** The process's limit (`ulimit -n`; Bun raises it to the hard limit). */
  readonly limit: number;
  /** How many are open now; undefined where the system does not say. */
  inUse(): number | undefined;
};

/** How the descriptors of a process are divided. Sockets get the rest. */
export type DescriptorBudget = {
  /** Kept back for the log's next file and for its directory. */
  log: number;
  /** Files open for reading, each with up to three descriptors. */
  readHandles: number;
  /** Shards open for writing, each with up to six. */
  writers: number;
  /** Kept free for short-lived files. Above `limit - free` idle connections are closed. */
  free: number;
};

const RLIMIT_NOFILE = process.platform === "darwin" ? 8 : 7;
const LIBC = process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6";
/** Used in place of "no limit": more than any process opens. */
const UNLIMITED = 1 << 30;
const OPEN_FILES = "/proc/self/fd";

export function systemDescriptors(): Descriptors {
  return { limit: limitOfProcess(), inUse: process.platform === "linux" ? countOpen : () => undefined };
}

/** The open descriptors. Empty where the system does not list them, or when no descriptor is left to list them with. */
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

/**
 * Since Linux 6.2 the size of `/proc/self/fd` is the number of open files. Before, the lowest free descriptor is a
 * lower bound.
 */
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
