/** Loaded first, puts bun:sqlite in the place of better-sqlite3 under the whole store: for comparing the two, nothing else. */
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
