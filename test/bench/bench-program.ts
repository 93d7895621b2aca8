/** The bench as somebody starts it, what it prints on each output apart. */
import { join } from "node:path";

export const ROOT = join(import.meta.dir, "../..");

export async function bench(...words: string[]): Promise<{ out: string; errors: string; status: number }> {
  const child = Bun.spawn([process.execPath, "bench/main.ts", ...words], { cwd: ROOT, stdout: "pipe", stderr: "pipe" });
  const [out, errors, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { out, errors, status };
}
