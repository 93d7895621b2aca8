import { linkSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

/** A placeholder has a few lines; the program has a hundred million bytes. */
const PLACEHOLDER_BYTES_MAX = 10_000;

/**
 * Puts the real program where the package `bun` has a placeholder until its install script runs, which it never does here. So `npx bun`
 * works, and so do scripts of packages that call `bun`. The name is replaced, not the file: that may be one with a package manager's cache.
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
