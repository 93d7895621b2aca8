/**
 * `parley keys`: makes, lists and revokes API keys in the data directory, also while a server uses it. A lock file
 * keeps two of these commands apart, and the key file is replaced as a whole. A crash leaves the old list or the new
 * one. It can also leave the lock file, which the next command reports.
 */
import { existsSync } from "node:fs";
import { mkdir, open, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { systemClock, type Clock } from "../base/clock.ts";
import { writeFileDurably } from "../base/durable-file.ts";
import { systemRandom, type Random } from "../base/random.ts";
import { API_KEYS_FILE, newApiKey, readApiKeys, type ApiKeyRecord } from "../home/accounts/api-keys.ts";
import { HeldDirectory } from "../../storage/vfs/held-directory.ts";
import { amendAtRest, missing } from "./data-directory.ts";
import { FatalError } from "./fatal-error.ts";
import { programOf, type Io } from "./io.ts";
import { isKeysVerb, KEYS_VERBS, keysHelp, type KeysVerb } from "./keys-help.ts";
import { didYouMean } from "./nearest.ts";
import { fatalFromDisk } from "./startup-errors.ts";

const EXIT_OK = 0;
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const NAME_CHARACTERS_MAX = 64;
const LOCK_WAIT_MS = 5000;
const LOCK_RETRY_MS = 20;

/** A refusal, with a line for the person at the terminal. */
class KeysError extends Error {
  readonly exitStatus: number;

  constructor(message: string, exitStatus: number) {
    super(message);
    this.exitStatus = exitStatus;
  }
}

type Command = {
  verb: KeysVerb | undefined;
  words: string[];
  dataDir: string;
  name: string | undefined;
  json: boolean;
  help: boolean;
};
type Surroundings = { io: Io; clock: Clock; random: Random; lockWaitMs: number };

/** @returns the exit status: 0, 1 when it could not be done, 2 for a bad option. */
export async function runKeys(args: string[], io: Io, lockWaitMs = LOCK_WAIT_MS): Promise<number> {
  try {
    await run(parseCommand(args, io.env), { io, clock: systemClock, random: systemRandom, lockWaitMs });
    return EXIT_OK;
  } catch (error) {
    if (error instanceof FatalError) return report(io, error.report, error.exitStatus);
    const message = `parley keys: ${error instanceof Error ? error.message : String(error)}`;
    if (!(error instanceof KeysError)) return report(io, message, EXIT_FAILED);
    const hint = error.exitStatus === EXIT_USAGE ? ` (see "${whereHelpIs(args, io)}")` : "";
    return report(io, `${message}${hint}`, error.exitStatus);
  }
}

function report(io: Io, line: string, exitStatus: number): number {
  io.stderr(`${line}\n`);
  return exitStatus;
}

function whereHelpIs([word = ""]: string[], io: Io): string {
  return [programOf(io), "keys", ...(isKeysVerb(word) ? [word] : []), "--help"].join(" ");
}

function parseCommand(args: string[], env: Io["env"]): Command {
  const { values, positionals } = parseOptions(args);
  const dataDir = values.data ?? (env["PARLEY_DATA"] || "./data");
  if (dataDir === "") throw usage("--data: expected a directory");
  const [verb = "", ...words] = positionals;
  const { name, json = false, help = false } = values;
  if (verb !== "" && !isKeysVerb(verb)) throw usage(`unknown command ${verb}${meant(verb)}`);
  return { verb: isKeysVerb(verb) ? verb : undefined, words, dataDir, name, json, help };
}

function parseOptions(args: string[]) {
  const options = {
    name: { type: "string" },
    data: { type: "string" },
    json: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  } as const;
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw usage(error instanceof Error ? error.message : String(error));
  }
}

const meant = (word: string): string => didYouMean(word, KEYS_VERBS) || ": expected create, list or revoke";

async function run(command: Command, surroundings: Surroundings): Promise<void> {
  const { verb, words } = command;
  if (command.help) return surroundings.io.stdout(keysHelp(verb, surroundings.io));
  if (verb === undefined) throw usage("the command is missing: create, list or revoke");
  if (words.length > (verb === "revoke" ? 1 : 0)) throw usage(`too many words: ${[verb, ...words].join(" ")}`);
  if (command.name !== undefined && verb !== "create") throw usage(`--name belongs to create, not to ${verb}`);
  switch (verb) {
    case "create":
      return create(command, surroundings);
    case "list":
      return list(command, surroundings.io);
    case "revoke":
      return revoke(command, words[0], surroundings);
  }
}

async function create(command: Command, surroundings: Surroundings): Promise<void> {
  const { io, clock, random } = surroundings;
  const name = checkedName(command.name);
  const { record, key } = newApiKey(name, clock, random);
  await makeDirectory(resolve(command.dataDir), io);
  await change(command.dataDir, surroundings, (records) => [...records, record]);
  if (command.json) return io.stdout(`${JSON.stringify({ id: record.id, name, createdAt: record.createdAt, key })}\n`);
  // Only the key goes to stdout, so that KEY=$(parley keys create …) works.
  io.stdout(`${key}\n`);
  io.stderr(`Key ${record.id} (${name}) made. Keep it now: it is not stored and cannot be shown again.\n`);
}

async function makeDirectory(path: string, io: Io): Promise<void> {
  if (existsSync(path)) return;
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fatalFromDisk(error, `data directory ${path}`) ?? error;
  }
  io.stderr(`parley keys: made the data directory ${path}\n`);
}

function checkedName(name: string | undefined): string {
  if (name === undefined || name.trim() === "") throw usage("create needs --name, which says whose key it is");
  const characters = [...name].length;
  if (characters > NAME_CHARACTERS_MAX) throw usage(`--name: ${characters} characters, at most ${NAME_CHARACTERS_MAX}`);
  // eslint-disable-next-line no-control-regex -- they would break the table.
  if (/[\u0000-\u001f\u007f]/.test(name)) throw usage("--name: control characters are not allowed");
  return name;
}

async function list(command: Command, io: Io): Promise<void> {
  mustBeThere(command.dataDir);
  const records = await readApiKeys(join(command.dataDir, API_KEYS_FILE));
  if (command.json) return io.stdout(`${JSON.stringify(records.map(shown))}\n`);
  if (records.length === 0) return io.stdout("No keys. `keys create --name NAME` makes one.\n");
  io.stdout(table(records));
}

function shown({ hash: _, ...record }: ApiKeyRecord) {
  return { ...record, state: stateOf(record) };
}

function mustBeThere(dataDir: string): void {
  if (!existsSync(dataDir)) throw missing(resolve(dataDir));
}

async function revoke(command: Command, id: string | undefined, surroundings: Surroundings): Promise<void> {
  if (id === undefined) throw usage("revoke needs the ID of a key; `keys list` shows them");
  mustBeThere(command.dataDir);
  const revokedAt = surroundings.clock.now();
  await change(command.dataDir, surroundings, (records) => {
    const found = records.find((record) => record.id === id);
    if (found === undefined) throw new KeysError(`no key has the ID ${id}; \`keys list\` shows them`, EXIT_FAILED);
    // Revoking again keeps the first time.
    return records.map((record) =>
      record === found ? { ...record, revokedAt: record.revokedAt ?? revokedAt } : record,
    );
  });
  surroundings.io.stdout(command.json ? `${JSON.stringify({ id, revoked: true })}\n` : `Key ${id} is revoked.\n`);
}

async function change(
  dataDir: string,
  surroundings: Surroundings,
  edit: (records: ApiKeyRecord[]) => ApiKeyRecord[],
): Promise<void> {
  const held = openData(resolve(dataDir));
  try {
    const path = join(held.at, API_KEYS_FILE);
    const unlock = await lock(`${path}.lock`, held, surroundings);
    try {
      const records = edit(await readApiKeys(path));
      held.check();
      await writeFileDurably(path, Buffer.from(`${JSON.stringify(records, null, 2)}\n`), 0o600);
      await amendAtRest(held, API_KEYS_FILE);
    } finally {
      await unlock();
    }
    held.check();
  } catch (error) {
    throw error instanceof FatalError || error instanceof KeysError ? error : renamed(error, held);
  } finally {
    held.close();
  }
}

/** All reads and writes go to this directory, even if it is moved meanwhile; then the person is told. */
function openData(path: string): HeldDirectory {
  try {
    return HeldDirectory.open(path);
  } catch (error) {
    throw fatalFromDisk(error, `data directory ${path}`) ?? error;
  }
}

function renamed(error: unknown, held: HeldDirectory): Error {
  return new Error(held.named(error instanceof Error ? error.message : String(error)), { cause: error });
}

/** The lock is held for milliseconds, so a second command waits. A lock that stays was left by a crash. */
async function lock(
  path: string,
  held: HeldDirectory,
  { clock, lockWaitMs }: Surroundings,
): Promise<() => Promise<void>> {
  const giveUpAt = clock.monotonicMs() + lockWaitMs;
  for (;;) {
    try {
      const file = await open(path, "wx", 0o600);
      await file.close();
      return () => rm(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    if (clock.monotonicMs() >= giveUpAt) {
      throw new KeysError(
        `${held.named(path)} is held; if no other \`parley keys\` runs, a crash left it: remove it and try again`,
        EXIT_FAILED,
      );
    }
    await new Promise<void>((resolve) => clock.after(LOCK_RETRY_MS, resolve));
  }
}

function table(records: ApiKeyRecord[]): string {
  const rows = [["ID", "NAME", "MADE", "STATE"], ...records.map(rowOf)];
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => Bun.stringWidth(row[column] ?? ""))));
  return rows.map((row) => `${row.map((text, column) => padded(text, widths[column] ?? 0)).join("  ")}\n`).join("");
}

function rowOf({ id, name, createdAt, revokedAt }: ApiKeyRecord): string[] {
  const since = revokedAt === undefined ? "" : ` ${timeOf(revokedAt)}`;
  return [id, name, timeOf(createdAt), `${stateOf({ revokedAt })}${since}`];
}

const stateOf = ({ revokedAt }: { revokedAt?: number | undefined }): "active" | "revoked" =>
  revokedAt === undefined ? "active" : "revoked";

function padded(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - Bun.stringWidth(text)));
}

function timeOf(unixMs: number): string {
  return new Date(unixMs).toISOString().replace(/\.\d+Z$/, "Z");
}

function usage(problem: string): KeysError {
  return new KeysError(problem, EXIT_USAGE);
}
