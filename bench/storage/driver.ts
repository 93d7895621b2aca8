/** The SQLite driver of the store in this process: better-sqlite3, unless bun-sqlite-preload.ts was loaded first. */
import { join } from "node:path";

const FLUSH = join(import.meta.dir, "../../storage/files/flush");
const PRELOAD = join(import.meta.dir, "bun-sqlite-preload.ts");

export const isBunSqlite = (): boolean => process.execArgv.includes(PRELOAD);

/** Workers do not inherit the preloaded modules of their process. */
export function workerWithDriver(): { startWorker?: () => Worker } {
  if (!isBunSqlite()) return {};
  return { startWorker: () => new Worker(join(FLUSH, "flush-worker.ts"), { preload: [PRELOAD] }) };
}
