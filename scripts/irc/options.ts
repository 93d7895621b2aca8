/** The command line of the import. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { helpText, type Row } from "../../src/cli/help-text.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { ENCODINGS, type Encoding } from "./encoding.ts";

/** Options of what is played. */
export type ReadOptions = {
  files: string[];
  encoding: Encoding;
  /** Messages with more bytes of text are not played. */
  textBytesMax: number;
};

/** Options of how and where it is played. */
export type RunOptions = {
  url: string;
  apiKey: string | undefined;
  speed: "max" | "real";
  verify: boolean;
  /** Members of each group whose history pages are read. Every user's device is resumed in any case. */
  verifyMembers: number;
  window: number;
  giveUpAfterMs: number;
  settleMs: number;
};

export type ImportOptions = ReadOptions & RunOptions;

const DEFAULT_URL = "http://127.0.0.1:8080";

const ABOUT = [
  "Plays IRC logs through a running server, as the people who wrote them. Each file is one day, named " +
    "YYYY-MM-DD.log, with one message a line: [hh:mm] <nick> text. Each nick becomes a user with a socket of its " +
    "own; each day a group (#ubuntu-YYYY-MM-DD) with that day's nicks. A line that begins with a nick of the day, a " +
    "colon and a space is a direct message to that person (to oneself: a note); every other line goes to the group. " +
    "FILES may be folders: their *.log files are taken.",
  "A second run continues where the first one stopped and repeats nothing, because refs are the same in every run.",
];
const PHASES: Row[] = [
  ["users, groups, sockets", "all users are made and connect"],
  ["messages", "every line is sent and acked"],
  ["delivery", "messages reach all connected users"],
  ["check: history", "with --verify: the history pages of all users, compared"],
  ["check: devices", "with --verify: a fresh device of every user gets everything, compared"],
];
export const IMPORT_OPTIONS: Row[] = [
  [
    "--api-key KEY",
    "make the users with this key; without one they are registered with passwords, which costs the server an " +
      "argon2 computation each, and one more with --verify",
    "PARLEY_API_KEY; parley keys create makes one",
  ],
  [
    "--speed max|real",
    "as fast as the server accepts it (default), or in the time of the logs, without the nights between the days",
  ],
  [
    "--encoding utf-8|latin1|mixed",
    "encoding of the files (default utf-8; other files are refused); latin1 includes its Windows variant; mixed: " +
      "latin1 for lines that are not UTF-8",
  ],
  [
    "--text-bytes-max N",
    `skip messages with more bytes of text than the server accepts (default ${DEFAULT_LIMITS.textBytesMax}); each ` +
      "is named on stderr and counted as tooLongLines",
  ],
  ["--window N", "lines unacked at once (default 512)"],
  ["--verify", "then read everything back, history and a fresh device of everybody; compare text and order"],
  ["--verify-members N|all", "members of each group whose history pages are read (default all)"],
  ["--give-up-after S", "end with an error when nothing has moved for S seconds (default 120)"],
  ["--settle S", "count messages as not delivered when none has arrived for S seconds (default 30)"],
  ["--help", "this text"],
];
export const RESULT =
  "Progress and a line for people on stderr; on stdout one line of JSON: users, groups, direct and group messages, " +
  "deliveries to other people's devices, seconds, lost, duplicated, misordered, lines skipped (skippedLines: no " +
  "message; tooLongLines). Exit status: 0 when nothing is lost, duplicated or misordered, 1 when not or when it " +
  "failed, 2 for a bad option or file.";

export const importHelp = (columns: number | undefined): string =>
  helpText(
    ["npm run import-irc -- FILES… [options]"],
    [
      ...ABOUT,
      { title: "Options", rows: [["--url URL", `the server (default ${DEFAULT_URL})`], ...IMPORT_OPTIONS] },
      { title: "Phases", rows: PHASES },
      RESULT,
    ],
    columns,
  );

export class UsageError extends Error {}

/** @returns undefined when help was asked for. @throws UsageError */
export function parseOptions(words: string[], env: Record<string, string | undefined>): ImportOptions | undefined {
  const { values, positionals } = parseWords(words);
  if (values.help === true) return undefined;
  const url = values.url ?? DEFAULT_URL;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new UsageError(`--url: ${url} is not http://HOST:PORT`);
  const encoding = ENCODINGS.find((one) => one === (values.encoding ?? "utf-8"));
  if (encoding === undefined) throw new UsageError(`--encoding: ${values.encoding} is none of ${ENCODINGS.join(", ")}`);
  const speed = values.speed ?? "max";
  if (speed !== "max" && speed !== "real") throw new UsageError(`--speed: ${speed} is neither max nor real`);
  return {
    files: expandFiles(positionals),
    encoding,
    textBytesMax: whole("text-bytes-max", values["text-bytes-max"], DEFAULT_LIMITS.textBytesMax),
    url,
    apiKey: (values["api-key"] ?? env["PARLEY_API_KEY"]) || undefined,
    speed,
    verify: values.verify ?? false,
    verifyMembers:
      values["verify-members"] === "all"
        ? Number.POSITIVE_INFINITY
        : whole("verify-members", values["verify-members"], Number.POSITIVE_INFINITY),
    window: whole("window", values.window, 512),
    giveUpAfterMs: whole("give-up-after", values["give-up-after"], 120) * 1000,
    settleMs: whole("settle", values.settle, 30) * 1000,
  };
}

function parseWords(words: string[]) {
  const options = {
    url: { type: "string" },
    "api-key": { type: "string" },
    encoding: { type: "string" },
    "text-bytes-max": { type: "string" },
    speed: { type: "string" },
    window: { type: "string" },
    verify: { type: "boolean" },
    "verify-members": { type: "string" },
    "give-up-after": { type: "string" },
    settle: { type: "string" },
    help: { type: "boolean", short: "h" },
  } as const;
  try {
    return parseArgs({ args: words, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function expandFiles(paths: string[]): string[] {
  if (paths.length === 0) throw new UsageError("no files: give the logs to play, for example path/to/ubuntu-irc/*.log");
  return paths.flatMap((path) => {
    if (!existsSync(path))
      throw new UsageError(
        `${path} is not there: give the paths of logs named YYYY-MM-DD.log, or of a folder that holds them`,
      );
    if (!statSync(path).isDirectory()) return [path];
    const logs = readdirSync(path).filter((name) => name.endsWith(".log"));
    if (logs.length === 0) throw new UsageError(`${path} holds no *.log files`);
    return logs.toSorted().map((name) => join(path, name));
  });
}

function whole(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new UsageError(`--${name}: ${text} is not a whole number above 0`);
  return value;
}
