/**
 * `npm run flood`: two users talk while an attacker with one account, or none, floods the server. Prints a table of
 * every flood, quiet and flooded.
 */
import { parseArgs } from "node:util";
import { helpText } from "../src/cli/help-text.ts";
import { ProgressBar, stderrOutput } from "../src/cli/progress-bar.ts";
import { FLOODS } from "./flood/floods.ts";
import { median, formatRange } from "../bench/measure/ranges.ts";
import { P50_RATIO_MAX, P99_RATIO_MAX, ROUNDS, runFlood, type FloodResult } from "./flood/run.ts";

const help = (): string =>
  helpText(
    ["npm run flood -- [options] [WORDS …]"],
    [
      "Each flood runs on its own server. Two users exchange 50 messages a second. Quiet and flooded stretches " +
        `alternate, in ${ROUNDS} rounds. The medians of the rounds must stay within limits: p50 at most ` +
        `${P50_RATIO_MAX} times, p99 at most ${P99_RATIO_MAX} times that of the quiet stretch before. WORDS select ` +
        "the floods whose names contain one of them.",
      {
        title: "Options",
        rows: [
          ["--seconds N", `total of the quiet stretches of a flood, and of its flooded ones (default 20)`],
          ["--json", "one line of JSON on stdout instead of the table"],
          ["--list", "the names of the floods"],
          ["--help", "this text"],
        ],
      },
      "Exit status: 0 when every flood stayed within, 1 when one did not, 2 for a bad option.",
    ],
    process.stdout.columns,
  );

const isWithin = ({ p50Ratio, p99Ratio, flooded }: FloodResult): boolean =>
  p50Ratio.median <= P50_RATIO_MAX && p99Ratio.median <= P99_RATIO_MAX && flooded.every(({ lost }) => lost === 0);

function tableOf(results: FloodResult[]): string {
  const both = ({ quiet, flooded }: FloodResult, key: "p50Ms" | "p99Ms"): string =>
    [quiet, flooded].map((talks) => median(talks.map((talk) => talk[key])).toFixed(1)).join(", ");
  const head =
    "| flood | p50 quiet, flooded (ms) | ratio | p99 quiet, flooded (ms) | ratio | memory before, peak (MiB) | the " +
    "attacker got |";
  const rows = results.map(
    (result) =>
      `| ${result.flood} | ${both(result, "p50Ms")} | ${formatRange(result.p50Ratio, 1)} | ` +
      `${both(result, "p99Ms")} | ${formatRange(result.p99Ratio, 1)} | ${Math.round(result.memoryBeforeMb)}, ` +
      `${Math.round(result.memoryPeakMb)} | ${result.attacker} |`,
  );
  return [head, "| --- | --- | --- | --- | --- | --- | --- |", ...rows, ""].join("\n");
}

async function main(words: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: words,
    allowPositionals: true,
    options: {
      seconds: { type: "string", default: "20" },
      json: { type: "boolean" },
      list: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help === true || values.list === true) {
    process.stdout.write(values.list === true ? FLOODS.map(({ name }) => `${name}\n`).join("") : help());
    return 0;
  }
  const seconds = Number(values.seconds);
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > 600)
    throw new TypeError(`--seconds: ${values.seconds}, expected a whole number from 1 to 600`);
  const chosen = FLOODS.filter(
    ({ name }) => positionals.length === 0 || positionals.some((word) => name.includes(word)),
  );
  if (chosen.length === 0) throw new TypeError(`no flood is called ${positionals.join(" ")}; see --list`);
  const bar = new ProgressBar("floods", chosen.length, stderrOutput());
  const results: FloodResult[] = [];
  for (const flood of chosen) {
    results.push(await runFlood(flood, seconds, (what) => bar.set(results.length, `${flood.name}: ${what}`)));
    bar.set(results.length, flood.name);
  }
  bar.finish();
  process.stdout.write(values.json === true ? `${JSON.stringify(results)}\n` : tableOf(results));
  return results.every(isWithin) ? 0 : 1;
}

main(process.argv.slice(2)).then(
  (status) => process.exit(status),
  (error: Error) => {
    const isUsage = error instanceof TypeError;
    process.stderr.write(`flood: ${isUsage ? `${error.message}; see --help` : error.stack}\n`);
    process.exit(isUsage ? 2 : 1);
  },
);
