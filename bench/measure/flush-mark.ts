/** Whether a server has flushed in the meantime, seen from outside: files of its shards were written. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** When a file under `shards/` of that data directory was last written, ms; 0 when there is none. */
export function newestWriteMs(dataDirectory: string): number {
  let newest = 0;
  for (const name of readdirSync(join(dataDirectory, "shards"), { recursive: true, encoding: "utf8" })) {
    // A file may be removed between the listing and `statSync`.
    const found = statSync(join(dataDirectory, "shards", name), { throwIfNoEntry: false });
    if (found?.isFile() === true) newest = Math.max(newest, found.mtimeMs);
  }
  return newest;
}
