/** `npm run bench -- NAME [options]`: tables on stderr, and with `--json` a line of JSON for each bench on stdout. */
import { existsSync } from "node:fs";
import { interruption } from "../scripts/interruption.ts";
import { stderrOutput } from "../src/cli/progress-bar.ts";
import type { Bench } from "./bench.ts";
import { BENCHES } from "./benches.ts";
import { helpText, listText, parseBenchArguments, UsageError, withOptions, type BenchArguments } from "./arguments.ts";
import { htmlPage } from "./report/page.ts";
import { formatResult } from "./report/text.ts";
import { jsonLine, runBench, type BenchResult } from "./run-bench.ts";

async function main(words: string[]): Promise<number> {
  const options = parseBenchArguments(words);
  if (options.isHelp) {
    process.stdout.write(helpText(BENCHES));
    return 0;
  }
  if (options.name === undefined) {
    process.stdout.write(listText(BENCHES));
    return 0;
  }
  const chosen = options.name === "all" ? BENCHES : BENCHES.filter(({ name }) => name === options.name);
  if (chosen.length === 0)
    throw new UsageError(`${options.name} is not a bench; there are ${BENCHES.map(({ name }) => name).join(", ")}`);
  if (!existsSync(options.directory)) throw new Error(`--dir: ${options.directory} does not exist`);
  return runAll(chosen, options);
}

/** One that fails does not keep the others from running, but the status tells. */
async function runAll(benches: readonly Bench[], options: BenchArguments): Promise<number> {
  const interrupted = interruption();
  let isInterrupted = false;
  interrupted.catch(() => (isInterrupted = true));
  const results: BenchResult[] = [];
  const failed: { name: string; reason: string }[] = [];
  for (const bench of benches) {
    try {
      const result = await runBench(bench, withOptions(bench, options), options, stderrOutput(), interrupted);
      results.push(result);
      process.stderr.write(`${formatResult(result)}\n\n`);
      if (options.isJson) process.stdout.write(`${jsonLine(result)}\n`);
    } catch (error) {
      if (isInterrupted || benches.length === 1) throw error;
      failed.push({ name: bench.name, reason: (error as Error).message });
      process.stderr.write(`bench: ${bench.name} FAILED: ${(error as Error).message}\n\n`);
    }
  }
  if (options.report !== undefined) await Bun.write(options.report, await htmlPage(results, failed));
  return failed.length === 0 ? 0 : 1;
}

main(process.argv.slice(2)).then(
  (status) => process.exit(status),
  (error: Error) => {
    const isUsage = error instanceof UsageError;
    process.stderr.write(`bench: ${error.message}${isUsage ? "; see --help" : ""}\n`);
    process.exit(isUsage ? 2 : 1);
  },
);
