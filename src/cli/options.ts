/**
 * Options as a table: one entry gives the flag, the environment variable, the check and the line of help.
 * A flag wins over the variable, the variable over the default; an empty variable counts as unset.
 */
import { FatalError } from "./fatal-error.ts";
import { didYouMean } from "./nearest.ts";

export type OptionSpec<Value> = {
  section: string;
  summary: string;
  /** The name of the value in help: `N`, `DIR`. */
  placeholder: string;
  initial: Value;
  /** Completes "expected …". */
  expected: string;
  /** Parses a value; undefined when the text is not valid. */
  read: (text: string) => Value | undefined;
  /** Without a value it means true. */
  isFlag?: true;
};

// A table holds options of many types; what `read` and `initial` give is recovered by `OptionValues`.
export type OptionTable = Record<string, OptionSpec<string | number | boolean | undefined>>;
export type OptionValues<Table extends OptionTable> = {
  [Key in keyof Table]: Table[Key] extends OptionSpec<infer Value> ? Value : never;
};

type Described = { section: string; summary: string };

export function integer(spec: Described & { initial: number; min: number; max: number }): OptionSpec<number> {
  const { min, max } = spec;
  const read = (text: string) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
    return value >= min && value <= max ? value : undefined;
  };
  return { ...spec, placeholder: "N", expected: `a whole number from ${min} to ${max}`, read };
}

export function oneOf<const Choice extends string>(
  spec: Described & { initial: NoInfer<Choice>; choices: readonly Choice[] },
): OptionSpec<Choice> {
  const read = (text: string) => spec.choices.find((choice) => choice === text);
  return { ...spec, placeholder: spec.choices.join("|"), expected: `one of ${spec.choices.join(", ")}`, read };
}

export function flag(spec: Described): OptionSpec<boolean> {
  const read = (given: string) =>
    given === "true" || given === "1" ? true : given === "false" || given === "0" ? false : undefined;
  return { ...spec, placeholder: "", initial: false, expected: "true or false", read, isFlag: true };
}

type TextRule = { placeholder: string; expected: string; accepts: (value: string) => boolean };

export function text<Initial extends string | undefined>(
  spec: Described & TextRule & { initial: Initial },
): OptionSpec<string | Initial> {
  return { ...spec, read: (value) => (spec.accepts(value) ? value : undefined) };
}

/** `sendRate` is `--send-rate` and `PARLEY_SEND_RATE`. */
export const flagOf = (key: string): string => `--${words(key, "-")}`;
export const variableOf = (key: string): string => `PARLEY_${words(key, "_").toUpperCase()}`;

const words = (key: string, separator: string): string =>
  key.replaceAll(/[A-Z]/g, (letter) => separator + letter.toLowerCase());

/** @throws FatalError usage */
export function parseOptions<Table extends OptionTable>(
  table: Table,
  args: readonly string[],
  env: Record<string, string | undefined>,
): OptionValues<Table> {
  const flags = readFlags(table, args);
  const entries = Object.entries(table).map(([key, spec]) => {
    const given = flags.get(key);
    if (given !== undefined) return [key, valueOf(spec, flagOf(key), given)];
    const fromEnv = env[variableOf(key)];
    return [key, fromEnv ? valueOf(spec, variableOf(key), fromEnv) : spec.initial];
  });
  return Object.fromEntries(entries) as OptionValues<Table>;
}

/** Separates the words of a command line from its options, wherever they stand. */
export function splitWords(table: OptionTable, args: readonly string[]): { words: string[]; options: string[] } {
  const alone = new Set(Object.keys(table).flatMap((key) => (table[key]?.isFlag ? [flagOf(key)] : [])));
  const words: string[] = [];
  const options: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? "";
    if (!arg.startsWith("-")) words.push(arg);
    else if (arg.includes("=") || alone.has(arg)) options.push(arg);
    else options.push(...args.slice(index, ++index + 1));
  }
  return { words, options };
}

function valueOf(spec: OptionTable[string], source: string, given: string): unknown {
  const value = spec.read(given);
  if (value !== undefined) return value;
  throw new FatalError("usage", `${source}: ${JSON.stringify(given.slice(0, 64))} is not ${spec.expected}`);
}

function readFlags(table: OptionTable, args: readonly string[]): Map<string, string> {
  const keys = new Map(Object.keys(table).map((key) => [flagOf(key), key]));
  const found = new Map<string, string>();
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? "";
    if (!arg.startsWith("-")) throw new FatalError("usage", `unexpected ${JSON.stringify(arg)}: options start with --`);
    const equals = arg.indexOf("=");
    const flag = equals === -1 ? arg : arg.slice(0, equals);
    const key = keys.get(flag);
    if (key === undefined) throw new FatalError("usage", `unknown option ${flag}${didYouMean(flag, [...keys.keys()])}`);
    const isAlone = equals === -1 && table[key]?.isFlag === true;
    const value = isAlone ? "true" : equals === -1 ? args[++index] : arg.slice(equals + 1);
    if (value === undefined) throw new FatalError("usage", `${flag} needs a value: ${table[key]?.expected}`);
    found.set(key, value);
  }
  return found;
}
