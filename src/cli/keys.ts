/**
 * `parley keys`: makes, lists and revokes API keys in the data directory, whether or not a server runs on it. The file is replaced whole
 * under a lock file, so that two of these commands at once lose nothing; a crash leaves the old list or the new one, and can leave the lock
 * file, which the next command names.
 */
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { systemClock, type Clock } from "../base/clock.ts";
import { writeFileDurably } from "../base/durable-file.ts";
import { systemRandom, type Random } from "../base/random.ts";
import { API_KEYS_FILE, newApiKey, readApiKeys, type ApiKeyRecord } from "../service/api-keys.ts";
import { amendAtRest } from "./data-directory.ts";

export type KeysIo = {
  stdout: (text: string) => void;
  stderr: (text: string) => void;
  env: Record<string, string | undefined>;
};

const HELP = `parley keys: API keys, with which your own systems create users and get tokens for them

  parley keys create --name NAME   make a key; it is printed once and cannot be shown again
  parley keys list                 show the keys: id, name, when made, whether revoked
  parley keys revoke ID            refuse a key from now on; a running server notices within a second

  --data DIR   the server's data directory (PARLEY_DATA, default ./data)
  --json       machine-readable output
  --help       this text
`;

const EXIT_OK = 0;
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const NAME_CHARACTERS_MAX = 64;
const LOCK_WAIT_MS = 5000;
const LOCK_RETRY_MS = 20;

/** Refused, with a line for the person at the terminal. */
class KeysError extends Error {
  readonly exitStatus: number;

  constructor(message: string, exitStatus: number) {
    super(message);
    this.exitStatus = exitStatus;
  }
}

type Command = { words: string[]; dataDir: string; name: string | undefined; json: boolean; help: boolean };
type Surroundings = { io: KeysIo; clock: Clock; random: Random; lockWaitMs: number };

/** @returns the exit status: 0, 1 when it could not be done, 2 for a bad option. */
export async function runKeys(args: string[], io: KeysIo, lockWaitMs = LOCK_WAIT_MS): Promise<number> {
  try {
    await run(parseCommand(args, io.env), { io, clock: systemClock, random: systemRandom, lockWaitMs });
    return EXIT_OK;
  } catch (error) {
    io.stderr(`parley keys: ${error instanceof Error ? error.message : String(error)}\n`);
    return error instanceof KeysError ? error.exitStatus : EXIT_FAILED;
  }
}

function parseCommand(args: string[], env: KeysIo["env"]): Command {
  const { values, positionals } = parseOptions(args);
  const dataDir = values.data ?? (env["PARLEY_DATA"] || "./data");
  if (dataDir === "") throw usage("--data: expected a directory");
  return { words: positionals, dataDir, name: values.name, json: values.json ?? false, help: values.help ?? false };
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

async function run(command: Command, surroundings: Surroundings): Promise<void> {
  const [word, id, ...rest] = command.words;
  if (command.help) return surroundings.io.stdout(HELP);
  if (rest.length > 0 || (id !== undefined && word !== "revoke"))
    throw usage(`too many words: ${command.words.join(" ")}`);
  if (word === "create") return create(command, surroundings);
  if (word === "list") return list(command, surroundings.io);
  if (word === "revoke") return revoke(command, id, surroundings);
  throw usage(
    word === undefined
      ? "say what: create, list or revoke"
      : `unknown command ${word}: expected create, list or revoke`,
  );
}

async function create(command: Command, surroundings: Surroundings): Promise<void> {
  const { io, clock, random } = surroundings;
  const name = checkedName(command.name);
  const { record, key } = newApiKey(name, clock, random);
  await change(command.dataDir, surroundings, (records) => [...records, record]);
  if (command.json) return io.stdout(`${JSON.stringify({ id: record.id, name, createdAt: record.createdAt, key })}\n`);
  // The key alone on stdout, so that KEY=$(parley keys create …) works.
  io.stdout(`${key}\n`);
  io.stderr(`Key ${record.id} (${name}) made. Keep it now: it is not stored and cannot be shown again.\n`);
}

function checkedName(name: string | undefined): string {
  if (name === undefined || name.trim() === "") throw usage("create needs --name, which says whose key it is");
  const characters = [...name].length;
  if (characters > NAME_CHARACTERS_MAX) throw usage(`--name: ${characters} characters, at most ${NAME_CHARACTERS_MAX}`);
  // eslint-disable-next-line no-control-regex -- they would break the table.
  if (/[\u0000-\u001f\u007f]/.test(name)) throw usage("--name: control characters are not allowed");
  return name;
}

async function list(command: Command, io: KeysIo): Promise<void> {
  const records = await readApiKeys(join(command.dataDir, API_KEYS_FILE));
  if (command.json) return io.stdout(`${JSON.stringify(records.map(({ hash: _, ...shown }) => shown))}\n`);
  if (records.length === 0) return io.stdout("No keys. `parley keys create --name NAME` makes one.\n");
  io.stdout(table(records));
}

async function revoke(command: Command, id: string | undefined, surroundings: Surroundings): Promise<void> {
  if (id === undefined) throw usage("revoke needs the ID of a key; `parley keys list` shows them");
  const revokedAt = surroundings.clock.now();
  await change(command.dataDir, surroundings, (records) => {
    const found = records.find((record) => record.id === id);
    if (found === undefined)
      throw new KeysError(`no key has the ID ${id}; \`parley keys list\` shows them`, EXIT_FAILED);
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
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const path = join(dataDir, API_KEYS_FILE);
  const unlock = await lock(`${path}.lock`, surroundings);
  try {
    const records = edit(await readApiKeys(path));
    await writeFileDurably(path, Buffer.from(`${JSON.stringify(records, null, 2)}\n`), 0o600);
    await amendAtRest(dataDir, API_KEYS_FILE);
  } finally {
    await unlock();
  }
}

/** Held for milliseconds, so whoever finds it waits; one that stays was left by a crash. */
async function lock(path: string, { clock, lockWaitMs }: Surroundings): Promise<() => Promise<void>> {
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
        `${path} is held; if no other \`parley keys\` runs, a crash left it: remove it and try again`,
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
  return [id, name, timeOf(createdAt), revokedAt === undefined ? "active" : `revoked ${timeOf(revokedAt)}`];
}

function padded(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - Bun.stringWidth(text)));
}

function timeOf(unixMs: number): string {
  return new Date(unixMs).toISOString().replace(/\.\d+Z$/, "Z");
}

function usage(problem: string): KeysError {
  return new KeysError(`${problem} (parley keys --help)`, EXIT_USAGE);
}
