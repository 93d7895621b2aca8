/** `npm run check-history -- FILE`: decides the guarantees G1 to G9 of a recorded history (docs/checking.md). */
import { parseArgs } from "node:util";
import { helpText, type Row } from "../src/cli/help-text.ts";
import { checkChunks } from "./history/check-chunks.ts";
import type { Report } from "./history/checker/check.ts";
import { GUARANTEES } from "./history/checker/violations.ts";
import { HistoryError } from "./history/parse-line.ts";

const FOUND = 1;
const UNUSABLE = 2;

const OPTIONS: Row[] = [
  ["--json", "one JSON object: found, counts, violations, settled, checked"],
  ["--partial", 'also a history without an "end", such as one of a run that was killed; it counts as not settled'],
  ["--help", "this text"],
];
const STATUSES: Row[] = [
  ["0", "nothing found"],
  ["1", "a guarantee is broken"],
  ["2", "the file cannot be used: it is not there, or a line of it is no line of a history"],
];

const help = (): string =>
  helpText(
    ["npm run check-history -- FILE [options]"],
    [
      "Decides G1 to G9 of docs/protocol.md from what clients sent and got. FILE is a history (docs/checking.md); " +
        "- reads it from the standard input.",
      { title: "Options", rows: OPTIONS },
      { title: "Exit status", rows: STATUSES },
    ],
    process.stdout.columns,
  );

class UsageError extends Error {}

async function main(): Promise<number> {
  const { values, positionals } = options();
  if (values.help === true) {
    process.stdout.write(help());
    return 0;
  }
  const [file] = positionals;
  if (file === undefined || positionals.length > 1) throw new UsageError("expected one FILE; see --help");
  const chunks = file === "-" ? Bun.stdin.stream() : Bun.file(file).stream();
  const report = await checkChunks(chunks, { mayBeCut: values.partial === true });
  process.stdout.write(values.json === true ? `${JSON.stringify(report)}\n` : textOf(file, report));
  return report.found === 0 ? 0 : FOUND;
}

function textOf(file: string, { violations, counts, found, settled, checked }: Report): string {
  const lines = violations.map(
    ({ guarantee, lines, problem }) => `${guarantee}  ${problem}\n    lines ${lines.join(", ")}`,
  );
  const numbers = Object.entries(checked).map(([name, count]) => `${count} ${name}`);
  const broken = GUARANTEES.filter((name) => counts[name] > 0).map((name) => `${name} ${counts[name]} times`);
  const result = found === 0 ? "nothing found" : `broken: ${broken.join(", ")}`;
  const open = settled ? "" : "; not settled, so what had to come in the end is not decided";
  return `${[...lines, `${file}: ${numbers.join(", ")}`, `${file}: ${result}${open}`].join("\n")}\n`;
}

function options() {
  const flag = { type: "boolean" } as const;
  try {
    return parseArgs({
      args: process.argv.slice(2),
      options: { json: flag, partial: flag, help: { ...flag, short: "h" } },
      allowPositionals: true,
    });
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split(". ")[0]}; see --help`, { cause: error });
  }
}

main().then(
  (status) => process.exit(status),
  (error: Error) => {
    const isExpected = error instanceof HistoryError || error instanceof UsageError || "code" in error;
    process.stderr.write(`check-history: ${isExpected ? error.message : (error.stack ?? error.message)}\n`);
    process.exit(UNUSABLE);
  },
);
