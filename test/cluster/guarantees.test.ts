/** The guarantees hold on a cluster: their own tests, with clients at an edge and homes at three nodes. */
import { join } from "node:path";
import { expect, test } from "bun:test";

const ROOT = join(import.meta.dir, "../..");
const FILES = [
  "g2-exactly-once",
  "g3-g4-order",
  "g5-no-phantoms",
  "g6-receipts-are-true",
  "g7-resume-has-no-hole",
  "g9-slow-is-not-lost",
];
/**
 * Left out: one test expects that the receiver's node is the one whose disk fails. Two expect an entry of a group before
 * `live` that may be on its way to the member's home: then it comes behind `live`.
 */
const NAMES = "^(?!.*(a message whose write failed|a group joined while away|a group left while away))";
const TEST_TIMEOUT_MS = 60_000;

test.each(FILES)("%s, on a cluster", async (file) => {
  const command = [process.execPath, "test", `./test/guarantees/${file}.test.ts`, `--timeout=${TEST_TIMEOUT_MS}`];
  const run = Bun.spawn([...command, "-t", NAMES], {
    cwd: ROOT,
    env: { ...process.env, CLUSTER: "yes" },
    stdout: "pipe",
    stderr: "pipe",
  });
  const output = await new Response(run.stderr).text();
  if ((await run.exited) !== 0) throw new Error(`CLUSTER=yes ${command.slice(1).join(" ")}\n${output}`);
  expect(output).toContain(" 0 fail");
});
