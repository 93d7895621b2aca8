/** Loaded first, it replaces better-sqlite3 by bun:sqlite in the whole store, only to compare the two. */
import { join } from "node:path";
import { plugin } from "bun";

const ours = JSON.stringify(join(import.meta.dir, "bun-sqlite.ts"));

plugin({
  name: "bun:sqlite under the store",
  setup(build) {
    build.onLoad({ filter: /[\\/]files[\\/]sqlite[\\/]database\.ts$/ }, () => ({
      contents: `export * from ${ours};`,
      loader: "ts",
    }));
  },
});
