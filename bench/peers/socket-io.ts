/** The Socket.IO server of `socket-io/`, on Bun and on Node. */
import Database from "better-sqlite3";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer } from "../servers/server-process.ts";
import type { Missing, Peer, PeerServer } from "./peer.ts";

const SERVER = join(import.meta.dir, "socket-io/server.mjs");
const TRY_MS = 10_000;

type Runtime = { name: string; title: string; command: string };

const RUNTIMES: Runtime[] = [
  { name: "bun", title: "Bun", command: process.execPath },
  { name: "node", title: "Node", command: "node" },
];

export const SOCKET_IO: readonly Peer[] = RUNTIMES.map(({ name, title, command }) => ({
  name: `socket.io-${name}`,
  title: `Socket.IO and SQLite on ${title}`,
  settings: "WebSocket only, no compression; better-sqlite3 with WAL and synchronous=FULL, an insert for each message",
  ack: "the row is committed and synced, the receiver's client acked the message, and the sender knows both",
  missing: () => missing(command),
  version: async () => `socket.io ${await packageVersion()}, ${title.toLowerCase()} ${await versionOf(command)}`,
  start: () => start(command),
}));

const PACKAGE = join(import.meta.dir, "../../node_modules/socket.io/package.json");

const packageVersion = async (): Promise<string> => ((await Bun.file(PACKAGE).json()) as { version: string }).version;

/** Not every Node loads the driver: an older one ends with a segmentation fault. */
async function missing(command: string): Promise<Missing | undefined> {
  if (!(await Bun.file(PACKAGE).exists())) return { why: "the package socket.io is not installed (npm install)" };
  if (Bun.which(command) === null) return { why: `${command} is not installed` };
  const probe = 'new (require("better-sqlite3"))(":memory:").prepare("SELECT 1").get()';
  const child = Bun.spawn([command, "-e", probe], {
    ...{ cwd: import.meta.dir, stdin: "ignore", stdout: "ignore", stderr: "ignore" },
    timeout: TRY_MS,
  });
  if ((await child.exited) === 0) return undefined;
  return { why: `better-sqlite3 does not run on ${command} ${await versionOf(command)} (it needs Node 22)` };
}

async function versionOf(command: string): Promise<string> {
  const child = Bun.spawn([command, "--version"], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
    timeout: TRY_MS,
  });
  return (await new Response(child.stdout).text()).trim().replace(/^v/, "");
}

async function start(command: string): Promise<PeerServer> {
  const directory = mkdtempSync(join(tmpdir(), "parley-bench-socket.io-"));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  const file = join(directory, "messages.sqlite");
  try {
    const server = await startServer("socket.io", [command, SERVER, file]);
    return {
      ...server,
      protocol: "socket.io",
      copies: 1,
      end: () => server.end().finally(remove),
      register: async () => {},
      countStored: async (users) => countRows(file, users),
    };
  } catch (error) {
    remove();
    throw error;
  }
}

function countRows(file: string, users: string[]): number {
  const database = new Database(file, { readonly: true });
  try {
    const count = database.prepare<[string], { rows: number }>(
      "SELECT count(*) AS rows FROM messages WHERE receiver = ?",
    );
    return users.reduce((sum, user) => sum + count.get(user)!.rows, 0);
  } finally {
    database.close();
  }
}
