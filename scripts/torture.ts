/** `npm run torture`: the log store, killed with -9 again and again. */
import { parseArgs } from "node:util";
import { helpText, type Row } from "../src/cli/help-text.ts";
import { ProgressBar, stderrOutput } from "../src/cli/progress-bar.ts";
import { torture, type TortureOptions } from "./torture/rounds.ts";

const OPTIONS: Row[] = [
  ["--rounds N", "how often (default 200)"],
  ["--seed S", "a number that decides what is written and when to kill (default: drawn)"],
  ["--minutes M", "stop after this time, even if rounds are left"],
  ["--help", "this text"],
];

const help = (): string =>
  helpText(
    ["npm run torture -- [options]"],
    [
      "A process writes to a log store with tiny limits, so that files rotate, memtables are flushed and the log " +
        "is trimmed all the time. It is killed with -9 at a time drawn from the seed. Its files are verified as by " +
        "parley verify. The store is opened and compared with the acknowledged records. The next round continues " +
        "with the same directory.",
      { title: "Options", rows: OPTIONS },
      "Progress on stderr; on stdout one line of JSON. Exit status: 0 when everything held, 1 when records are " +
        "missing, incomplete, damaged or changed (then the directory is kept), 2 for a bad option.",
    ],
    process.stdout.columns,
  );

class UsageError extends Error {}

function parseOptions(words: string[]): TortureOptions | undefined {
  const text = { type: "string" } as const;
  try {
    const options = { rounds: text, seed: text, minutes: text, help: { type: "boolean", short: "h" } } as const;
    const { values } = parseArgs({ args: words, options });
    if (values.help === true) return undefined;
    return {
      rounds: whole("rounds", values.rounds) ?? 200,
      seed: whole("seed", values.seed) ?? Math.floor(Math.random() * 2 ** 31),
      minutes: whole("minutes", values.minutes),
    };
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError((error as Error).message);
  }
}

function whole(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() === "" || !Number.isInteger(value) || value < 0)
    throw new UsageError(`--${name}: ${text} is not a whole number`);
  return value;
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) {
    process.stdout.write(help());
    return 0;
  }
  const { seed, rounds } = options;
  const bar = new ProgressBar(`kill -9, seed ${seed}`, rounds, stderrOutput());
  const result = await torture(options, (round, note) => bar.set(round, note));
  bar.finish();
  process.stdout.write(`${JSON.stringify(result)}\n`);
  if (result.failure === undefined) return 0;
  const { round, what, directory } = result.failure;
  process.stderr.write(`torture: seed ${seed}, round ${round}: ${what}\nkept: ${directory}\n`);
  return 1;
}

main().then(
  (status) => process.exit(status),
  (error: Error) => {
    const isUsage = error instanceof UsageError;
    process.stderr.write(`torture: ${isUsage ? `${error.message}; see --help` : error.stack}\n`);
    process.exit(isUsage ? 2 : 1);
  },
);
