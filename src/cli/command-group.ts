/** A command that has commands of its own: `parley map init`, `parley map show`. */
import { isHelp, type Command } from "./command.ts";
import { EXIT_STATUS, FatalError } from "./fatal-error.ts";
import { commandHelp } from "./help.ts";
import { helpText, type Row } from "./help-text.ts";
import { programOf, type Io } from "./io.ts";
import { didYouMean } from "./nearest.ts";

/** Its `name` is the word after the group's. `run` gets arguments without `--help`. */
export type SubCommand = Omit<Command, "npmScript">;

type Group = { name: string; summary: string; note: string; commands: readonly SubCommand[] };

export function commandGroup({ name, summary, note, commands }: Group): Command {
  const help = (io: Io): string => {
    const rows = commands.map((command): Row => [command.usage, command.summary]);
    const program = programOf(io);
    return helpText([`${program} ${name} COMMAND [options]`], [sentence(summary), { rows }, note], io.columns);
  };
  return {
    name,
    usage: `${name} COMMAND [options]`,
    summary,
    options: {},
    run: async (args, io) => {
      const [word = "", ...rest] = args.map((arg) => (arg === "-o" ? "--output" : arg));
      if (isHelp(word)) return print(io, help(io));
      const command = commands.find((each) => each.name === word);
      if (command !== undefined)
        return rest.some(isHelp) ? print(io, commandHelp(command, io)) : await command.run(rest, io);
      const names = commands.map((each) => each.name);
      const problem = word === "" ? "the command is missing" : `unknown command ${JSON.stringify(word.slice(0, 64))}`;
      throw new FatalError("usage", `${name}: ${problem}${didYouMean(word, names)}`, {
        hint: `it has ${names.join(", ")}`,
      });
    },
  };
}

const sentence = (text: string): string => `${text[0]?.toUpperCase() ?? ""}${text.slice(1)}.`;

function print(io: Io, text: string): number {
  io.stdout(text);
  return EXIT_STATUS.ok;
}
