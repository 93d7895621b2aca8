import { expect, test } from "bun:test";
import { join } from "node:path";
import { BUN, ROOT } from "./processes.ts";

test("a command's output reaches a pipe completely, although the program ends right after it", async () => {
  const module = join(ROOT, "src/cli/write-whole.ts");
  const program = `import { writeWhole } from ${JSON.stringify(module)}; writeWhole(1, "x".repeat(1 << 20)); process.exit(0);`;
  const child = Bun.spawn([BUN, "-e", program], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const text = await new Response(child.stdout).text();
  expect([await child.exited, text.length]).toEqual([0, 1 << 20]);
});
