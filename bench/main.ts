/** `npm run bench -- SUITE [options]`: a table on stderr, and with `--json` one line of JSON on stdout. */
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { interruption } from "../scripts/interruption.ts";
import { helpText, type Row } from "../src/cli/help-text.ts";
import { stderrOutput } from "../src/cli/progress-bar.ts";
import { formatTable } from "./e2e-table.ts";
import { FULL, runE2e, SMALL, type E2eOptions } from "./e2e.ts";
import { htmlReport, plainPage } from "./report.ts";
import { storageOptions } from "./storage-options.ts";
import { storageReport } from "./storage-report.ts";
import { formatStorageTable } from "./storage-table.ts";
import { formatStalls, runStalls, STALLS_FULL } from "./stalls.ts";
import { runStorage } from "./storage.ts";

const DEFAULT_CORPUS = "../shared/corpus";

const SUITES: Row[] = [
  ["e2e", "Parley beside a bare WebSocket server that does the same five frames: throughput, CPU, latency"],
  [
    "storage",
    "the log store: append beside bare write + fdatasync, flush, history pages, recovery, the corpus on disk, " +
      "SQLite drivers, codecs",
  ],
  ["stalls", "how long the event loop stands still for what a client asks of a server that was just started"],
];
const OPTIONS: Row[] = [
  ["--json", "print the result as one line of JSON on stdout; the table on stderr is for people"],
  ["--report FILE", "write a self-contained HTML report"],
  ["--small", "seconds instead of minutes: only checks that it runs, the figures mean little"],
  [
    "--corpus DIR",
    `take the texts from the *.log files under DIR (default ${DEFAULT_CORPUS} if it is there, else made-up texts)`,
  ],
  ["--dir DIR", "storage: write under DIR, measure its file system (default: the system's temporary folder)"],
  ["--help", "this text"],
];
const E2E_OPTIONS: Row[] = [
  ["--pairs N", `pairs of users who talk to each other (default ${FULL.pairs})`],
  ["--window N", `undelivered messages that each user keeps in the closed loop (default ${FULL.windowPerUser})`],
  ["--rounds N", `closed-loop rounds on each side (default ${FULL.rounds}); the open loop runs ${FULL.openRounds}`],
  ["--restarts N", `restarts of Parley, each with the rate before and after it (default ${FULL.restarts})`],
  ["--seconds N", `measured seconds of each round (default ${FULL.measureMs / 1000})`],
  [
    "--open-share X",
    `rate of the open loop, as a share of the smaller closed-loop throughput (default ${FULL.openShare})`,
  ],
  [
    "--beside DIR",
    "in the floor's place the server of another checkout (with its packages): two versions side by side",
  ],
  ['--serve "…"', "more options for parley serve, separated by spaces; the output names them"],
];

const help = (): string =>
  helpText(
    ["npm run bench -- SUITE [options]"],
    [
      { title: "Suites", rows: SUITES },
      { title: "Options", rows: OPTIONS },
      { title: "Options of e2e", rows: E2E_OPTIONS },
    ],
    process.stdout.columns,
  );

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
      restarts: { type: "string" },
      seconds: { type: "string" },
      "open-share": { type: "string" },
      serve: { type: "string" },
      beside: { type: "string" },
      dir: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true || positionals.length === 0) {
    process.stdout.write(help());
    return values.help === true ? 0 : 2;
  }
  const report = await suite(positionals, values);
  process.stderr.write(`${report.text}\n`);
  if (values.report !== undefined) await Bun.write(values.report, report.html());
  if (values.json === true) process.stdout.write(`${JSON.stringify(report.result)}\n`);
  return 0;
}

type Values = { [option: string]: string | boolean | undefined };
type Report = { result: object; text: string; html: () => string };

function suite(names: string[], values: Values): Promise<Report> {
  if (names.length === 1 && names[0] === "e2e") return e2e(values);
  if (names.length === 1 && names[0] === "storage") return storage(values);
  if (names.length === 1 && names[0] === "stalls") return stalls(values);
  throw new UsageError(`suite: ${names.join(" ")} is not one; there are e2e, storage and stalls`);
}

async function e2e(values: Values): Promise<Report> {
  const base = values["small"] === true ? SMALL : FULL;
  const serve = typeof values["serve"] === "string" ? values["serve"].split(" ").filter((word) => word !== "") : [];
  const options: E2eOptions = {
    ...base,
    corpus: corpusOf(values),
    pairs: positive("pairs", values["pairs"], base.pairs),
    windowPerUser: positive("window", values["window"], base.windowPerUser),
    rounds: positive("rounds", values["rounds"], base.rounds),
    restarts: positive("restarts", values["restarts"], base.restarts),
    measureMs: positive("seconds", values["seconds"], base.measureMs / 1000) * 1000,
    openShare: positive("open-share", values["open-share"], base.openShare),
    serveArguments: [...base.serveArguments, ...serve],
    ...(typeof values["beside"] === "string" && { beside: values["beside"] }),
  };
  const result = await runE2e(options, stderrOutput(), interruption());
  return { result, text: formatTable(result), html: () => htmlReport(result) };
}

async function storage(values: Values): Promise<Report> {
  const { dir } = values;
  const options = storageOptions(values["small"] === true, corpusOf(values), typeof dir === "string" ? dir : undefined);
  const result = await runStorage(options, stderrOutput(), interruption());
  return { result, text: formatStorageTable(result), html: () => storageReport(result) };
}

async function stalls(values: Values): Promise<Report> {
  const options = values["small"] === true ? { ...STALLS_FULL, rounds: 1, places: ["recent" as const] } : STALLS_FULL;
  const result = await runStalls(options, stderrOutput(), interruption());
  const text = formatStalls(result);
  return { result, text, html: () => plainPage(text) };
}

function corpusOf({ corpus }: Values): string | undefined {
  if (typeof corpus === "string") return corpus;
  return existsSync(DEFAULT_CORPUS) ? DEFAULT_CORPUS : undefined;
}

class UsageError extends Error {}

function positive(name: string, text: string | boolean | undefined, otherwise: number): number {
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
