/** The checks beside the tests. Each counts as one test. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { clockViolations } from "./clock-rules.ts";
import { importViolations, type SourceFile } from "./import-rules.ts";
import { runProgram, type Outcome } from "./program.ts";

export type Check = { name: string; run: () => Promise<Outcome> };

export function checksOf(root: string): Check[] {
  const bun = (args: string[], env = {}) => runProgram(root, [process.execPath, ...args], { env });
  return [
    // --no-script: package.json may have scripts with these names, and "check" is this program.
    { name: "format", run: () => bun(["fmt", "--no-script", "--check", "."]) },
    { name: "types", run: () => bun(["check", "--no-script"]) },
    {
      name: "lint",
      run: () => bun(["node_modules/oxlint/bin/oxlint", "--type-aware", "--format=unix"], lintEnv(root)),
    },
    { name: "imports", run: () => told(async () => importViolations(await sourceFiles(root))) },
    { name: "clocks", run: () => told(async () => clockViolations(await timedFiles(root))) },
  ];
}

/**
 * The linter starts its type checker through a script for Node. Where there is only Bun, it gets the path of the
 * program itself.
 */
function lintEnv(root: string): Record<string, string> {
  const suffix = process.platform === "win32" ? ".exe" : "";
  const file = join(root, `node_modules/@oxlint-tsgolint/${process.platform}-${process.arch}/tsgolint${suffix}`);
  return existsSync(file) ? { OXLINT_TSGOLINT_PATH: file } : {};
}

async function told(find: () => Promise<string[]>): Promise<Outcome> {
  const startedAt = performance.now();
  const violations = await find();
  const output = violations.map((line) => `${line}\n`).join("");
  const ms = performance.now() - startedAt;
  return { status: violations.length === 0 ? 0 : 1, output, stderr: "", ms, isKilled: false };
}

export const sourceFiles = (root: string): Promise<SourceFile[]> => read(root, "{src,storage}/**/*.{ts,tsx}");

/** The files that the clock rules check. The rules themselves name everything they forbid, so they are left out. */
export async function timedFiles(root: string): Promise<SourceFile[]> {
  const files = await read(root, "{src,storage,scripts}/**/*.{ts,tsx,mjs}");
  return files.filter(({ path }) => path !== "scripts/testing/clock-rules.ts");
}

async function read(root: string, glob: string): Promise<SourceFile[]> {
  const paths = [...new Bun.Glob(glob).scanSync(root)].toSorted();
  return await Promise.all(paths.map(async (path) => ({ path, text: await Bun.file(join(root, path)).text() })));
}
