/** Help of `parley`, made from the option tables, so that it is complete and up to date. */
import type { Command } from "./command.ts";
import { EXIT_MEANING, EXIT_STATUS } from "./fatal-error.ts";
import { helpText, unbroken, type Row, type Section } from "./help-text.ts";
import { programOf, type Io } from "./io.ts";
import { flagOf, variableOf, type OptionTable } from "./options.ts";

type Terminal = Pick<Io, "program" | "columns">;

/** Options without a command belong to the first command. */
export function programHelp(commands: readonly [Command, ...Command[]], terminal: Terminal): string {
  const program = programOf(terminal);
  const own: Row[] = [
    ["version", "show the version (also --version)"],
    ["help [COMMAND]", "show help (also --help)"],
  ];
  const rows = [...commands.map(({ usage, summary }): Row => [usage, summary]), ...own];
  const sections = [
    "parley, a self-hosted messenger server.",
    { title: "Commands", rows },
    `The options of a command: ${unbroken(`${program} COMMAND --help`)}. Options without a command are those of ${commands[0].name}.`,
    exitStatuses(),
  ];
  return helpText([`${program} COMMAND [options]`], sections, terminal.columns);
}

export function commandHelp({ usage, summary, note, options, npmScript }: Command, terminal: Terminal): string {
  const program = programOf(terminal);
  const isClone = program !== "parley";
  const lines = [
    ...(isClone && npmScript !== undefined ? [`npm ${npmScript} -- [options]`] : []),
    `${program} ${usage}`,
  ];
  const sections = [
    `${summary[0]?.toUpperCase() ?? ""}${summary.slice(1)}.`,
    ...optionSections(options),
    ...(note === undefined ? [] : [note]),
    `A flag wins over its variable. An empty variable counts as unset. Exit statuses: ${unbroken(`${program} --help`)}.`,
  ];
  return helpText(lines, sections, terminal.columns);
}

function optionSections(table: OptionTable): Section[] {
  const sections = Map.groupBy(Object.entries(table), ([, spec]) => spec.section);
  return [...sections].map(([title, options]) => ({ title, rows: options.map(([key, spec]) => optionRow(key, spec)) }));
}

function optionRow(key: string, { placeholder, summary, initial, isFlag }: OptionTable[string]): Row {
  if (isFlag === true) return [flagOf(key), summary, `${variableOf(key)}=true`];
  const otherwise = initial === undefined ? "no default" : `default ${initial}`;
  return [`${flagOf(key)} ${placeholder}`, summary, `${variableOf(key)}, ${otherwise}`];
}

function exitStatuses(): Section {
  const reasons = Object.keys(EXIT_STATUS) as (keyof typeof EXIT_STATUS)[];
  return {
    title: "Exit status",
    rows: reasons.map((reason): Row => [String(EXIT_STATUS[reason]), EXIT_MEANING[reason]]),
  };
}
