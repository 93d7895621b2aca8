import { linkSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

/** A placeholder has a few lines; the program has about a hundred million bytes. */
const PLACEHOLDER_BYTES_MAX = 10_000;

/**
 * Replaces the placeholder in the package `bun` by the real program. Its install script would do that, but never runs
 * here. So `npx bun` works, and so do packages' scripts that call `bun`. The name is replaced and not the file, which
 * may be shared with a package manager's cache.
 */
export function replacePlaceholders(root, bun) {
  for (const name of ["bun.exe", "bunx.exe"]) {
    const file = join(root, "node_modules/bun/bin", name);
    if (isPlaceholder(file)) replace(file, bun);
  }
}

function isPlaceholder(file) {
  const { size } = statSync(file, { throwIfNoEntry: false }) ?? { size: Number.POSITIVE_INFINITY };
  return size < PLACEHOLDER_BYTES_MAX && readFileSync(file, "utf8").includes("postinstall script was not run");
}

function replace(file, bun) {
  const mine = `${file}-${process.pid}`;
  try {
    linkSync(bun, mine);
    renameSync(mine, file);
  } catch {
    // A file system without hard links: everything but `npx bun` works.
  } finally {
    rmSync(mine, { force: true });
  }
}
