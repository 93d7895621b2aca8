import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PROGRAM = join(import.meta.dir, "programs/few-files.ts");

test("when the process may open no more files, those that are open for reading make room for one that is needed", async () => {
  const directory = mkdtempSync(join(tmpdir(), "parley-pool-"));
  try {
    const command = ["sh", "-c", `ulimit -n 120; exec "$@"`, "sh", process.execPath, PROGRAM, directory];
    const run = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
    const [out, error] = await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text()]);
    expect([await run.exited, out.trim(), error]).toEqual([0, "6", ""]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
