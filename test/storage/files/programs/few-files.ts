/** Opens files for reading until the process may open no more, and then one more through a pool. Prints how many of the pool's files it could read. */
import { openSync } from "node:fs";
import { join } from "node:path";
import { createDatabaseFile, emptyDatabase } from "../../../../storage/files/sqlite/database-file.ts";
import { HandlePool } from "../../../../storage/files/sqlite/handle-pool.ts";

const FORMAT = { name: "test", applicationId: 77, version: 1, pageBytes: 4096, schema: "CREATE TABLE t (a)" };
const FILES = 6;
const directory = process.argv[2]!;
const paths = Array.from({ length: FILES }, (_, n) => join(directory, `${n}.db`));
for (const path of paths) createDatabaseFile(path, emptyDatabase(FORMAT, "wal"));
const pool = new HandlePool(FILES);
const read = (path: string): unknown => pool.get(path, FORMAT, "written").pragma("user_version");
for (const path of paths.slice(1)) read(path);
try {
  for (;;) openSync("/dev/null", "r");
} catch {
  // No descriptor is left.
}
console.log(paths.filter((path) => read(path) === FORMAT.version).length);
