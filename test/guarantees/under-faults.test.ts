/**
 * Guarantees hold as well while what crosses between shards is lost, repeated, late and out of order: their own tests,
 * on nodes with a faulty router and mirrors that are fed by what it lets through (test/support/test-node.ts).
 */
import { join } from "node:path";
import { expect, test } from "bun:test";
import { SEED } from "../support/seed.ts";

const ROOT = join(import.meta.dir, "../..");
/**
 * Not here yet: g2-and-the-clock posts 3000 messages at once to a group, which is refused where each lost post makes all
 * behind it come again. g1 and g8 run in processes, whose router has no faults.
 */
const FILES = [
  "g2-exactly-once",
  "g3-g4-order",
  "g5-no-phantoms",
  "g6-receipts-are-true",
  "g7-resume-has-no-hole",
  "g9-slow-is-not-lost",
];
const TEST_TIMEOUT_MS = 60_000;

test.each(FILES)("%s, over a router that loses, repeats, delays and reorders", async (file) => {
  const command = [process.execPath, "test", `./test/guarantees/${file}.test.ts`, `--timeout=${TEST_TIMEOUT_MS}`];
  const env = { ...process.env, FAULTY_ROUTER: String(SEED) };
  const run = Bun.spawn(command, { cwd: ROOT, env, stdout: "pipe", stderr: "pipe" });
  const output = await new Response(run.stderr).text();
  if ((await run.exited) !== 0) throw new Error(`FAULTY_ROUTER=${SEED} ${command.slice(1).join(" ")}\n${output}`);
  expect(output).toContain(" 0 fail");
});
