/** The commands of `parley`, and how a command line is resolved to one of them. */
import { isHelp, type Command } from "./command.ts";
import { EXIT_STATUS, FatalError } from "./fatal-error.ts";
import { programHelp } from "./help.ts";
import { programOf, type Io } from "./io.ts";
import { didYouMean } from "./nearest.ts";

const isVersion = (arg: string): boolean => arg === "--version" || arg === "-v" || arg === "version";

/**
 * Runs one command line. An environment error becomes a line on stderr and its exit status; other errors are rethrown.
 */
export async function runCommandLine(
  argv: readonly string[],
  commands: readonly [Command, ...Command[]],
  { version, io }: { version: string; io: Io },
): Promise<number> {
  try {
    return await dispatch(argv, commands, version, io);
  } catch (error) {
    if (!(error instanceof FatalError)) throw error;
    const more =
      error.reason === "usage" && error.hint === undefined ? ` (see "${whereHelpIs(argv, commands, io)}")` : "";
    io.stderr(`${error.report}${more}\n`);
    return error.exitStatus;
  }
}

async function dispatch(
  argv: readonly string[],
  commands: readonly [Command, ...Command[]],
  version: string,
  io: Io,
): Promise<number> {
  const [word = "help", ...rest] = argv;
  if (isVersion(word)) return print(io, `parley ${version}\n`);
  if (isHelp(word)) return print(io, programHelp(commands, io));
  if (word === "help") return help(rest, commands, io);
  if (word.startsWith("-")) return await commands[0].run([...argv], io);
  return await commandNamed(word, commands).run(rest, io);
}

async function help(words: string[], commands: readonly [Command, ...Command[]], io: Io): Promise<number> {
  if (words[0] === undefined) return print(io, programHelp(commands, io));
  return await commandNamed(words[0], commands).run([...words.slice(1), "--help"], io);
}

function whereHelpIs([word = ""]: readonly string[], commands: readonly [Command, ...Command[]], io: Io): string {
  const command = word.startsWith("-") ? commands[0] : commands.find(({ name }) => name === word);
  return [programOf(io), ...(command === undefined ? [] : [command.name]), "--help"].join(" ");
}

function commandNamed(word: string, commands: readonly Command[]): Command {
  const found = commands.find((command) => command.name === word);
  if (found !== undefined) return found;
  const names = [...commands.map((command) => command.name), "help", "version"];
  throw new FatalError("usage", `unknown command ${JSON.stringify(word.slice(0, 64))}${didYouMean(word, names)}`);
}

function print(io: Io, text: string): number {
  io.stdout(text);
  return EXIT_STATUS.ok;
}
