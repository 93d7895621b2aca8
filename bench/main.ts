/** `bun run bench SUITE [options]`: a table on stderr, and with `--json` one line of JSON on stdout. */
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { interruption } from "../scripts/interruption.ts";
import { stderrOutput } from "../src/cli/progress-bar.ts";
import { formatTable } from "./e2e-result.ts";
import { FULL, runE2e, SMALL, type E2eOptions } from "./e2e.ts";
import { htmlReport } from "./report.ts";

const HELP = `usage: bun run bench e2e [options]

suites
  e2e              Parley beside a bare WebSocket server that does the same five frames: throughput, CPU, latency

options
  --json           print the result as one line of JSON on stdout
  --report FILE    write a self-contained HTML report
  --small          seconds instead of a minute: shows that it runs, the figures mean little
  --corpus DIR     take the texts from the *.log files under DIR (default ../shared/corpus if it is there, else made-up texts)
  --pairs N        pairs of users who talk to each other (default ${FULL.pairs})
  --window N       undelivered messages that each user keeps in the closed loop (default ${FULL.windowPerUser})
  --rounds N       closed-loop rounds on each side (default ${FULL.rounds}); the open loop runs ${FULL.openRounds}
  --seconds N      measured seconds of each round (default ${FULL.measureMs / 1000})
  --open-share X   rate of the open loop, as a share of the smaller closed-loop throughput (default ${FULL.openShare})
  --serve "…"      more options for \`parley serve\`, separated by spaces; the output names them
  --help           this text
`;

const DEFAULT_CORPUS = "../shared/corpus";

async function main(words: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: words,
    allowPositionals: true,
    options: {
      json: { type: "boolean" },
      report: { type: "string" },
      small: { type: "boolean" },
      corpus: { type: "string" },
      pairs: { type: "string" },
      window: { type: "string" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      "open-share": { type: "string" },
      serve: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true || positionals.length === 0) {
    process.stdout.write(HELP);
    return values.help === true ? 0 : 2;
  }
  if (positionals.length > 1 || positionals[0] !== "e2e")
    throw new UsageError(`suite: ${positionals.join(" ")} is not one; there is e2e`);
  const base = values.small === true ? SMALL : FULL;
  const options: E2eOptions = {
    ...base,
    corpus: values.corpus ?? (existsSync(DEFAULT_CORPUS) ? DEFAULT_CORPUS : undefined),
    pairs: positive("pairs", values.pairs, base.pairs),
    windowPerUser: positive("window", values.window, base.windowPerUser),
    rounds: positive("rounds", values.rounds, base.rounds),
    measureMs: positive("seconds", values.seconds, base.measureMs / 1000) * 1000,
    openShare: positive("open-share", values["open-share"], base.openShare),
    serveArguments: [...base.serveArguments, ...(values.serve?.split(" ").filter((word) => word !== "") ?? [])],
  };
  const result = await runE2e(options, stderrOutput(), interruption());
  process.stderr.write(`${formatTable(result)}\n`);
  if (values.report !== undefined) await Bun.write(values.report, htmlReport(result));
  if (values.json === true) process.stdout.write(`${JSON.stringify(result)}\n`);
  return 0;
}

class UsageError extends Error {}

function positive(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!(value > 0)) throw new UsageError(`--${name}: ${text} is not a number above 0`);
  return value;
}

main(process.argv.slice(2)).then(
  (status) => process.exit(status),
  (error: Error) => {
    const isUsage =
      error instanceof UsageError || (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS") === true;
    process.stderr.write(`bench: ${error.message}${isUsage ? "; see --help" : ""}\n`);
    process.exit(isUsage ? 2 : 1);
  },
);
