/** Plays IRC logs through a running server; see --help. */
import { existsSync, readFileSync } from "node:fs";
import { readPlan, runImport, summaryOf } from "./irc/import.ts";
import { importHelp, parseOptions, UsageError, type ImportOptions } from "./irc/options.ts";
import { stderrOutput } from "../src/cli/progress-bar.ts";

/** Open files beside the users' sockets: standard streams, HTTP connections, fresh devices. */
const OTHER_FILES = 400;
/** Linux shows the limit here. Elsewhere it is met only when it is reached. */
const LIMITS = "/proc/self/limits";

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2), process.env);
  if (options === undefined) {
    process.stdout.write(importHelp(process.stdout.columns));
    return 0;
  }
  return importFiles(options);
}

async function importFiles(options: ImportOptions): Promise<number> {
  const plan = readPlan(options, (line) => void process.stderr.write(`import-irc: ${line}\n`));
  checkOpenFiles(plan.users.length);
  const result = await runImport(plan, options, stderrOutput());
  process.stderr.write(`${summaryOf(result)}\n`);
  process.stdout.write(`${JSON.stringify(result)}\n`);
  return result.lost + result.duplicated + result.misordered === 0 ? 0 : 1;
}

function checkOpenFiles(users: number): void {
  const limit = Number(
    /^Max open files\s+(\d+)/m.exec(existsSync(LIMITS) ? readFileSync(LIMITS, "utf8") : "")?.[1] ??
      Number.POSITIVE_INFINITY,
  );
  const needed = users + OTHER_FILES;
  if (limit >= needed) return;
  throw new Error(
    `${users} users need ${needed} open files, the limit is ${limit}; run \`ulimit -n ${needed}\` first (the ` +
      "server needs as many), or import fewer days",
  );
}

main().then(
  (status) => process.exit(status),
  (error: Error) => {
    const isUsage = error instanceof UsageError;
    process.stderr.write(`import-irc: ${error.message}${isUsage ? "; see --help" : ""}\n`);
    process.exit(isUsage ? 2 : 1);
  },
);
