/**
 * Runs one test file in its own process, so that its leftovers or its crash cannot affect another file. A file that
 * ends its process in the middle counts as failed and does not end the run.
 */
import { runProgram } from "./program.ts";

/**
 * Catches tests that wait for ever; a test that waits for a condition gives up long before. On a quiet machine few
 * tests take seconds.
 */
const TEST_TIMEOUT_MS = 120_000;
const FILE_TIMEOUT_MS = 300_000;

const SUMMARY = /^ *\d+ pass\n(?: .*\n)*Ran \d+ tests? across \d+ files?\./gm;

export type Counts = { passed: number; failed: number; skipped: number };
export type FileResult = Counts & { file: string; ms: number; output: string; isKilled: boolean };

/** A file that has not ended after `timeoutMs` is killed, with everything that it started, and counts as failed. */
export async function runTestFile(root: string, file: string, timeoutMs = FILE_TIMEOUT_MS): Promise<FileResult> {
  const command = [process.execPath, "--no-orphans", "test", `./${file}`, `--timeout=${TEST_TIMEOUT_MS}`];
  const { status, output, stderr, ms, isKilled } = await runProgram(root, command, { timeoutMs });
  return { file, ms, output, isKilled, ...countsOf(stderr, status) };
}

/** Reads the summary that `bun test` prints last, on stderr. Anything inconsistent counts as a failure. */
export function countsOf(stderr: string, status: number): Counts {
  const plain = Bun.stripANSI(stderr);
  const summary = [...plain.matchAll(SUMMARY)].at(-1)?.[0] ?? "";
  const count = (word: string) => Number(new RegExp(`^ *(\\d+) ${word}$`, "m").exec(summary)?.[1] ?? 0);
  const counts = { passed: count("pass"), failed: count("fail"), skipped: count("skip") + count("todo") };
  const isWrong = status !== 0 || counts.passed + counts.failed + counts.skipped === 0;
  return isWrong && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}
