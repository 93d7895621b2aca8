/** `bun scripts/torture.ts`: the log store, killed with -9 again and again. */
import { parseArgs } from "node:util";
import { ProgressBar, stderrOutput } from "../src/cli/progress-bar.ts";
import { torture } from "./torture/rounds.ts";

const HELP = `usage: bun scripts/torture.ts [--rounds N] [--seed S] [--minutes M]

A process writes to a log store with tiny limits, so that files rotate, memtables are flushed and the log is trimmed all the time; it is killed with
-9 at a moment drawn from the seed; the store is opened and compared with what was acknowledged; the next round goes on with the same directory.

  --rounds N    how often (default 200)
  --seed S      a number that decides what is written and when to kill (default: drawn)
  --minutes M   stop after this time, whatever the rounds

Ends with one JSON line. Exit status 1 when something is missing, half there or not what was written; the directory is kept then.
`;

function whole(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0) return value;
  process.stderr.write(`torture: --${name}: ${text} is not a whole number; see --help\n`);
  process.exit(2);
}

const text = { type: "string" } as const;
const { values } = parseArgs({ options: { rounds: text, seed: text, minutes: text, help: { type: "boolean" } } });
if (values.help === true) {
  process.stdout.write(HELP);
  process.exit(0);
}
const rounds = whole("rounds", values.rounds) ?? 200;
const seed = whole("seed", values.seed) ?? Math.floor(Math.random() * 2 ** 31);
const bar = new ProgressBar(`kill -9, seed ${seed}`, rounds, stderrOutput());
const result = await torture({ rounds, seed, minutes: whole("minutes", values.minutes) }, (round, note) =>
  bar.set(round, note),
);
bar.finish();
process.stdout.write(`${JSON.stringify(result)}\n`);
if (result.failure !== undefined) {
  process.stderr.write(
    `torture: seed ${seed}, round ${result.failure.round}: ${result.failure.what}\nkept: ${result.failure.directory}\n`,
  );
  process.exit(1);
}
