import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";

const PROBES = join(import.meta.dir, "../../bench/probes");

test.each(readdirSync(PROBES))("%s runs, small", async (name) => {
  const probe = Bun.spawn([process.execPath, join(PROBES, name), "1", "0.01"], { stdout: "pipe", stderr: "pipe" });
  const [told, errors] = await Promise.all([new Response(probe.stdout).text(), new Response(probe.stderr).text()]);
  expect({ status: await probe.exited, errors }).toEqual({ status: 0, errors: "" });
  expect(told).not.toBe("");
});
