/**
 * The bench as somebody starts it, what it prints on each output apart. It starts in a folder that has no corpus beside it, so that a test
 * measures the same texts everywhere.
 */
import { join } from "node:path";

export const ROOT = join(import.meta.dir, "../..");

export const MAIN = join(ROOT, "bench/main.ts");

export async function bench(...words: string[]): Promise<{ out: string; errors: string; status: number }> {
  const child = Bun.spawn([process.execPath, MAIN, ...words], {
    cwd: import.meta.dir,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, errors, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { out, errors, status };
}
