/** Which SQLite driver this process runs the store on: better-sqlite3, unless bun-sqlite-preload.ts was loaded first. */
import { join } from "node:path";

const FLUSH = join(import.meta.dir, "../../storage/files/flush");
const PRELOAD = join(import.meta.dir, "bun-sqlite-preload.ts");

export const isBunSqlite = (): boolean => process.execArgv.includes(PRELOAD);

/** Workers do not inherit what their process loaded first. */
export function workerWithDriver(): { startWorker?: () => Worker } {
  if (!isBunSqlite()) return {};
  return { startWorker: () => new Worker(join(FLUSH, "flush-worker.ts"), { preload: [PRELOAD] }) };
}
