/** Measuring instruments: CPU, bytes handed to the disk, files on disk, percentiles, gaps of the event loop. */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { SqlDatabase } from "../../storage/files/sqlite/database.ts";

export type Spread = { p50: number; p99: number; max: number; count: number };

export function spreadOf(samples: number[]): Spread {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (part: number): number => round4(sorted[Math.floor((sorted.length - 1) * part)] ?? Number.NaN);
  return { p50: at(0.5), p99: at(0.99), max: at(1), count: samples.length };
}

export const round4 = (value: number): number => Number(value.toPrecision(5));

/** CPU time of all threads of this process so far, user and system, µs. */
export function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/**
 * Bytes that this process gave to write calls (`wchar`), nearly all of them to files; undefined where the system does
 * not say. Not `write_bytes`: that one counts a whole folio, up to megabytes, for each frame that is written into a
 * prepared file. This is a hundred times what reaches the disk.
 */
export function bytesWritten(): number | undefined {
  if (!existsSync("/proc/self/io")) return undefined;
  const found = /^wchar: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"));
  return found === null ? undefined : Number(found[1]);
}

/** Largest resident size so far, bytes; undefined where the system does not say. */
export function peakResidentBytes(): number | undefined {
  if (!existsSync("/proc/self/status")) return undefined;
  const found = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"));
  return found === null ? undefined : Number(found[1]) * 1024;
}

export type DiskUse = { files: number; bytes: number; allocatedBytes: number };

/** All files under a folder: their sizes, and the room they take. */
export function diskUse(directory: string): DiskUse {
  const use = { files: 0, bytes: 0, allocatedBytes: 0 };
  if (!existsSync(directory)) return use;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const { size, blocks } = statSync(join(entry.parentPath, entry.name));
    use.files++;
    use.bytes += size;
    use.allocatedBytes += blocks * 512;
  }
  return use;
}

/**
 * Bytes of database pages by table or index, of all files under a folder together, the largest first. The files must
 * not be open.
 */
export function bytesByTable(directory: string): Record<string, number> {
  const bytes = new Map<string, number>();
  for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".db")) continue;
    const db = new SqlDatabase(join(directory, name), "readonly");
    const rows = db
      .sql("SELECT name, sum(pgsize) AS bytes FROM dbstat GROUP BY name")
      .all<{ name: string; bytes: number }>();
    db.close();
    for (const row of rows) bytes.set(row.name, (bytes.get(row.name) ?? 0) + row.bytes);
  }
  return Object.fromEntries([...bytes].toSorted(([, a], [, b]) => b - a));
}

/** Database files under `directory` that this process has open now; undefined where the system does not say. */
export function openDatabases(directory: string): { segments: number; others: number } | undefined {
  if (!existsSync("/proc/self/fd")) return undefined;
  const paths = new Set<string>();
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      if (path.startsWith(directory) && path.endsWith(".db")) paths.add(path);
    } catch {
      // The listing's own descriptor, which is closed by now.
    }
  }
  const segments = [...paths].filter((path) => basename(path).startsWith("segment")).length;
  return { segments, others: paths.size - segments };
}

/** The longest time the event loop did not run, beyond the millisecond of the timer. */
export class GapMeter {
  #last = performance.now();
  #longestMs = 0;
  readonly #timer = setInterval(() => this.#tick(), 1);

  #tick(): void {
    const now = performance.now();
    this.#longestMs = Math.max(this.#longestMs, now - this.#last - 1);
    this.#last = now;
  }

  /** @returns the longest gap since the last call, ms */
  longestMs(): number {
    this.#tick();
    const longest = this.#longestMs;
    this.#longestMs = 0;
    return round4(longest);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** A small, fast random generator with the same numbers in every run (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}
