/** Help, made from the tables: nothing in it can be forgotten or out of date. */
import type { Command } from "./commands.ts";
import { EXIT_MEANING, EXIT_STATUS } from "./fatal-error.ts";
import { flagOf, variableOf, type OptionTable } from "./options.ts";

type Row = readonly [left: string, ...right: string[]];

/** The first command is what runs without a command, so its options are shown here too. */
export function programHelp(commands: readonly [Command, ...Command[]]): string {
  const rows = commands.map((command): Row => [command.usage, command.summary]);
  const own: Row[] = [
    ["version", "show the version (also --version)"],
    ["help [command]", "show help (also --help)"],
  ];
  return [
    "parley: a self-hosted messenger server",
    "",
    "Usage: parley [command] [options]",
    "",
    "Commands",
    ...aligned([...rows, ...own]),
    "",
    `Without a command, parley runs ${commands[0].name}; these are its options.`,
    "",
    ...endOfHelp(commands[0].options),
  ].join("\n");
}

export function commandHelp(command: Command): string {
  const head = [`parley ${command.name}: ${command.summary}`, "", `Usage: parley ${command.usage}`, ""];
  return [...head, ...endOfHelp(command.options)].join("\n");
}

function endOfHelp(options: OptionTable): string[] {
  const precedence = "A flag wins over its variable. An empty variable counts as unset.";
  return [...optionSections(options), precedence, "", ...exitStatuses(), ""];
}

function optionSections(table: OptionTable): string[] {
  const sections = Map.groupBy(Object.entries(table), ([, spec]) => spec.section);
  const rows = [...sections.values()].map((options) => options.map(([key, spec]) => optionRow(key, spec)));
  const lines = aligned(rows.flat());
  return [...sections].flatMap(([title, options]) => [title, ...lines.splice(0, options.length * 2), ""]);
}

function optionRow(key: string, spec: OptionTable[string]): Row {
  return [
    `${flagOf(key)} ${spec.placeholder}`,
    spec.summary,
    `default ${spec.initial ?? "none"}, or ${variableOf(key)}`,
  ];
}

function exitStatuses(): string[] {
  const reasons = Object.keys(EXIT_STATUS) as (keyof typeof EXIT_STATUS)[];
  return ["Exit status", ...aligned(reasons.map((reason) => [String(EXIT_STATUS[reason]), EXIT_MEANING[reason]]))];
}

/** Two columns; further texts of a row come below its second. */
function aligned(rows: readonly Row[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.flatMap(([left, ...right]) =>
    right.map((text, line) => `  ${(line === 0 ? left : "").padEnd(width)}  ${text}`),
  );
}
