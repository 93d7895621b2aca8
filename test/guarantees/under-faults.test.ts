/**
 * Guarantees hold as well while what crosses between shards is lost, repeated, late and out of order: their own tests,
 * on nodes and processes with a faulty router and mirrors that are fed by what it lets through
 * (test/support/faulty-node.ts).
 */
import { join } from "node:path";
import { expect, test } from "bun:test";
import { SEED } from "../support/seed.ts";

const ROOT = join(import.meta.dir, "../..");
const SLOWEST = ["g2-and-the-clock", "g8-handed-over", "g1-acked-is-durable", "g7-resume-has-no-hole"];
const FILES = [...new Bun.Glob("g*.test.ts").scanSync(import.meta.dir)].map((file) => file.replace(".test.ts", ""));
/** They wait more than they compute: for timers, and for processes to start. */
const AT_ONCE = 3;
const TEST_TIMEOUT_MS = 60_000;

/** The slowest begin first. */
const waiting = [...SLOWEST, ...FILES.filter((file) => !SLOWEST.includes(file)).toSorted()];
const runs = new Map(waiting.map((file) => [file, Promise.withResolvers<void>()]));
const runNext = async (): Promise<void> => {
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift())
    await run(file).then(runs.get(file)!.resolve, runs.get(file)!.reject);
};
for (const { promise } of runs.values()) promise.catch(() => {});
for (let worker = 0; worker < AT_ONCE; worker++) void runNext();

async function run(file: string): Promise<void> {
  const command = [process.execPath, "test", `./test/guarantees/${file}.test.ts`, `--timeout=${TEST_TIMEOUT_MS}`];
  const env = { ...process.env, FAULTY_ROUTER: String(SEED) };
  const child = Bun.spawn(command, { cwd: ROOT, env, stdout: "pipe", stderr: "pipe" });
  const output = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(`FAULTY_ROUTER=${SEED} ${command.slice(1).join(" ")}\n${output}`);
  expect(output).toContain(" 0 fail");
}

const FILE_TIMEOUT_MS = 300_000;
test.each([...runs])(
  "%s, over a router that loses, repeats, delays and reorders",
  (_, { promise }) => promise,
  FILE_TIMEOUT_MS,
);
