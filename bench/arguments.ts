/** The command line of the benches. */
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { helpText as layOut, type Row } from "../src/cli/help-text.ts";
import type { Bench, Size } from "./bench.ts";
import type { RunOptions } from "./run-bench.ts";

const DEFAULT_CORPUS = "../shared/corpus";

const OPTIONS: Row[] = [
  ["--full", "more and longer rounds, larger data: for figures to publish"],
  ["--tiny", "seconds in place of minutes: only shows that it runs, the figures mean nothing"],
  ["--json", "a line of JSON on stdout for each bench; the tables on stderr are for people"],
  ["--report FILE", "write one self-contained HTML page with charts"],
  [
    "--corpus DIR",
    `take the texts from the *.log files under DIR (default ${DEFAULT_CORPUS} if it is there, else made-up texts)`,
  ],
  ["--dir DIR", "storage: write under DIR, measure its file system (default: the system's temporary folder)"],
  ['--serve "…"', "more options for parley serve, separated by spaces; the output names them"],
  [
    "--beside DIR",
    "e2e, direct, open, fanout: in the floor's place the server of another checkout, with its packages: two versions",
  ],
  ["--help", "this text"],
];

type NumberValue = { factor: number };
type ListValue = { of: string };

/** Options that change a parameter, of the benches that have it. */
const PARAMETERS: { option: string; parameter: string; value: NumberValue | ListValue | "flag"; help: string }[] = [
  { option: "pairs", parameter: "pairs", value: { factor: 1 }, help: "pairs of users who talk to each other" },
  { option: "window", parameter: "windowPerUser", value: { factor: 1 }, help: "undelivered messages of each user" },
  { option: "rounds", parameter: "rounds", value: { factor: 1 }, help: "rounds on each side" },
  { option: "restarts", parameter: "restarts", value: { factor: 1 }, help: "restarts of Parley" },
  { option: "seconds", parameter: "measureMs", value: { factor: 1000 }, help: "measured seconds of each round" },
  {
    option: "open-share",
    parameter: "openShare",
    value: { factor: 1 },
    help: "e2e, peers: rate of the open loop, as a share of the throughput",
  },
  {
    option: "peers",
    parameter: "peers",
    value: { of: "NAMES" },
    help: "peers: only those whose names begin so, separated by commas, as in ejabberd,prosody-sqlite",
  },
  {
    option: "install",
    parameter: "install",
    value: "flag",
    help: "peers: installs missing servers from Debian's packages first, as root (apt-get install)",
  },
];

export type BenchArguments = RunOptions & {
  name: string | undefined;
  isHelp: boolean;
  isJson: boolean;
  report: string | undefined;
  parameters: { option: string; value: string | true }[];
};

export class UsageError extends Error {}

export function listText(benches: readonly Bench[]): string {
  return layOut(["npm run bench -- NAME [--full] [--json] [--report FILE]"], [listOf(benches)], process.stdout.columns);
}

export function helpText(benches: readonly Bench[]): string {
  const parameters = PARAMETERS.map(({ option, value, help }): Row => {
    const shown = value === "flag" ? "" : "of" in value ? ` ${value.of}` : " N";
    return [`--${option}${shown}`, help];
  });
  const sections = [
    listOf(benches),
    { title: "Options", rows: OPTIONS },
    { title: "Options of benches that have such a parameter", rows: parameters },
    "Each bench has a small size, the default, and a full one.",
  ];
  return layOut(["npm run bench -- NAME [options]"], sections, process.stdout.columns);
}

const listOf = (benches: readonly Bench[]) => ({
  title: "Benches",
  rows: [
    ...benches.map(({ name, summary }): Row => [name, summary]),
    ["all", "all of them, one after another; in small size under 15 minutes on two cores"] as Row,
  ],
});

export function parseBenchArguments(words: string[]): BenchArguments {
  const { values, positionals } = parsed(words);
  if (positionals.length > 1) throw new UsageError(`${positionals.join(" ")}: expected one name`);
  if (values.full === true && values.tiny === true) throw new UsageError("--full and --tiny: expected one of them");
  const size: Size = values.full === true ? "full" : values.tiny === true ? "tiny" : "small";
  return {
    name: positionals[0],
    isHelp: values.help === true,
    isJson: values.json === true,
    report: values.report,
    size,
    corpus: values.corpus ?? (existsSync(DEFAULT_CORPUS) ? DEFAULT_CORPUS : undefined),
    directory: values.dir ?? tmpdir(),
    serveArguments: (values.serve ?? "").split(" ").filter((word) => word !== ""),
    beside: values.beside,
    parameters: PARAMETERS.flatMap(({ option }) => {
      const value = values[option as keyof typeof values];
      return typeof value === "string" || value === true ? [{ option, value }] : [];
    }),
  };
}

function parsed(words: string[]) {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const parameters = Object.fromEntries(
    PARAMETERS.map(({ option, value }) => [option, value === "flag" ? flag : text]),
  );
  try {
    return parseArgs({
      args: words,
      allowPositionals: true,
      options: {
        ...parameters,
        ...{ full: flag, small: flag, tiny: flag, json: flag, help: flag },
        ...{ report: text, corpus: text, dir: text, serve: text, beside: text },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

/** The bench's parameters in this size, with what the command line changes. */
export function withOptions(bench: Bench, { size, name, parameters }: BenchArguments): object {
  const changed: Record<string, unknown> = { ...bench.sizes[size] };
  for (const { option, value } of parameters) {
    const { parameter, value: kind } = PARAMETERS.find((one) => one.option === option)!;
    const read = readValue(option, value, kind);
    if (parameter in changed) changed[parameter] = read;
    else if (name === bench.name) throw new UsageError(`--${option}: ${name} has no such parameter`);
  }
  return changed;
}

function readValue(option: string, value: string | true, kind: NumberValue | ListValue | "flag"): unknown {
  if (value === true || kind === "flag") return true;
  if ("of" in kind) return value.split(",").filter((word) => word !== "");
  if (!(Number(value) > 0)) throw new UsageError(`--${option}: ${value} is not a number above 0`);
  return Number(value) * kind.factor;
}
