/** One command of `parley`. */
import type { Io } from "./io.ts";
import type { OptionTable } from "./options.ts";

export type Command = {
  name: string;
  /** Words after `parley `. */
  usage: string;
  /** The npm script that runs it in a clone, without a word before its options. */
  npmScript?: string;
  summary: string;
  /** More that a person who runs it should know; shown in its help. */
  note?: string;
  /** Shown in help. */
  options: OptionTable;
  /** Resolves with the exit status. `--help` among the arguments is the command's own to answer. */
  run: (args: string[], io: Io) => Promise<number>;
};

export const isHelp = (arg: string): boolean => arg === "--help" || arg === "-h";
