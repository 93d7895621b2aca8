/** Runs checks and test files, prints failures, and ends with the line of counts. */
import { availableParallelism } from "node:os";
import { checksOf, type Check } from "./checks.ts";
import { ALONE, slowFirst } from "./slow-first.ts";
import { runTestFile, type Counts } from "./test-file.ts";

const JOBS_MAX = 4;
/** One more than there are cores: many tests wait for processes, timers and the disk. */
const JOBS = Math.min(JOBS_MAX, availableParallelism() + 1);

type Result = Counts & { output: string; ms: number; isKilled: boolean };
type Item = { name: string; run: () => Promise<Result> };

/**
 * `paths` keeps the test files that contain one of them; without any, all run.
 * @returns the exit status: 0 only when something ran and nothing failed.
 */
export async function run(
  root: string,
  what: { checks: boolean; paths: string[]; fileTimeoutMs?: number },
  print: (text: string) => void,
): Promise<number> {
  const files = testFiles(root).filter(
    (file) => what.paths.length === 0 || what.paths.some((path) => file.includes(path)),
  );
  const total: Counts = { passed: 0, failed: 0, skipped: 0 };
  const report = async (item: Item) => {
    const result = await item.run().catch(failedToRun);
    for (const key of ["passed", "failed", "skipped"] as const) total[key] += result[key];
    print(reportOf(item.name, result));
  };
  const fileItem = (file: string): Item => ({ name: file, run: () => runTestFile(root, file, what.fileTimeoutMs) });
  // One after the other, because each uses every core, or measures one.
  for (const check of what.checks ? checksOf(root) : []) await report(checkItem(check));
  for (const file of files.filter((name) => ALONE.includes(name))) await report(fileItem(file));
  await inParallel(slowFirst(files.filter((name) => !ALONE.includes(name))).map(fileItem), report);
  if (files.length === 0) print(`no test file matches ${what.paths.join(" ")}\n`);
  const skipped = total.skipped === 0 ? "" : `, ${total.skipped} skipped`;
  print(`${total.passed} passed, ${total.failed} failed${skipped}\n`);
  return total.failed === 0 && total.passed > 0 && files.length > 0 ? 0 : 1;
}

/** Searches everywhere, not only in test/, so that a test in the wrong place is not missed. */
function testFiles(root: string): string[] {
  return [...new Bun.Glob("{test,src,storage,bench,scripts}/**/*.test.{ts,tsx}").scanSync(root)].toSorted();
}

function checkItem(check: Check): Item {
  const run = async () => {
    const { status, output, ms, isKilled } = await check.run();
    return { passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1, skipped: 0, output, ms, isKilled };
  };
  return { name: check.name, run };
}

/** The other files still run, and the line of counts is still printed. */
function failedToRun(error: unknown): Result {
  const output = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { passed: 0, failed: 1, skipped: 0, output, ms: 0, isKilled: false };
}

async function inParallel(items: Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: JOBS }, worker));
}

function reportOf(name: string, result: Result): string {
  const seconds = `${(result.ms / 1000).toFixed(1)} s${result.isKilled ? ", KILLED because it did not end" : ""}`;
  const skipped = result.skipped === 0 ? "" : `, ${result.skipped} skipped`;
  if (result.failed === 0) return `ok    ${name}  ${result.passed} passed${skipped}, ${seconds}\n`;
  const output = result.output.trimEnd().replaceAll(/^(?=.)/gm, "      ");
  return `FAIL  ${name}  ${result.passed} passed, ${result.failed} failed${skipped}, ${seconds}\n${output}\n`;
}
