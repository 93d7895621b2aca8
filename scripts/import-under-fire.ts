/**
 * `npm run import-under-fire -- FILES…`: the import with --verify, against its own server, which is killed with -9
 * during the import.
 */
import { parseArgs } from "node:util";
import { helpText, type Row } from "../src/cli/help-text.ts";
import { readPlan, summaryOf } from "./irc/import.ts";
import { interruption } from "./interruption.ts";
import { IMPORT_OPTIONS, parseOptions, RESULT, UsageError } from "./irc/options.ts";
import { importUnderFire } from "./irc/under-fire.ts";
import { stderrOutput } from "../src/cli/progress-bar.ts";

const OWN_OPTIONS: Row[] = [
  ["--kills N", "how often (default 5)"],
  ["--seed S", "a number that decides when (default 1); the same files and seed kill at the same places of the import"],
  ["--passwords", "register the users with passwords instead of making them by an API key"],
];

const help = (): string =>
  helpText(
    ["npm run import-under-fire -- FILES… [options]"],
    [
      "Starts a server on a temporary data directory, plays the logs through it with --verify, kills it with -9 at " +
        "N moments drawn from the seed and starts it again each time.",
      { title: "Options", rows: OWN_OPTIONS },
      {
        title: "As for import-irc",
        rows: IMPORT_OPTIONS.filter(([left]) => !/^--(api-key|verify|help)\b(?!-)/.test(left)),
      },
      `${RESULT} The JSON has kills, seed, killedAt and startSeconds as well.`,
    ],
    process.stdout.columns,
  );

async function main(): Promise<number> {
  const { own, rest } = splitWords(process.argv.slice(2));
  if (own.help === true) {
    process.stdout.write(help());
    return 0;
  }
  const options = parseOptions([...rest, "--verify"], {});
  if (options === undefined) return 0;
  const fire = {
    kills: whole("kills", own.kills, 5),
    seed: whole("seed", own.seed, 1),
    withPasswords: own.passwords ?? false,
  };
  const result = await importUnderFire(
    readPlan(options, (line) => void process.stderr.write(`import-under-fire: ${line}\n`)),
    { ...options, ...fire },
    stderrOutput(),
    interruption(),
  );
  process.stderr.write(`${summaryOf(result)}\n`);
  process.stdout.write(`${JSON.stringify(result)}\n`);
  return result.lost + result.duplicated + result.misordered === 0 ? 0 : 1;
}

function splitWords(words: string[]) {
  const options = {
    kills: { type: "string" },
    seed: { type: "string" },
    passwords: { type: "boolean" },
    help: { type: "boolean" },
  } as const;
  const { values: own, tokens } = parseArgs({
    args: words,
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const ownPlaces = new Set<number>();
  for (const token of tokens) {
    if (token.kind !== "option" || !(token.name in options)) continue;
    ownPlaces.add(token.index);
    if (token.value !== undefined && !token.inlineValue) ownPlaces.add(token.index + 1);
  }
  return {
    own: own as { kills?: string; seed?: string; passwords?: boolean; help?: boolean },
    rest: words.filter((_, at) => !ownPlaces.has(at)),
  };
}

function whole(name: string, text: string | undefined, otherwise: number): number {
  const value = Number(text ?? otherwise);
  if (!Number.isInteger(value) || value < 0) throw new UsageError(`--${name}: ${text} is not a whole number`);
  return value;
}

main().then(
  (status) => process.exit(status),
  (error: Error) => {
    const isUsage = error instanceof UsageError;
    process.stderr.write(`import-under-fire: ${error.message}${isUsage ? "; see --help" : ""}\n`);
    process.exit(isUsage ? 2 : 1);
  },
);
