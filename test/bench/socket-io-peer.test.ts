/** The Socket.IO server that Parley is compared with, with Socket.IO's own client. */
import Database from "better-sqlite3";
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer, type ServerProcess } from "../../bench/servers/server-process.ts";
import { until } from "../support/wait.ts";
import { ROOT } from "./bench-program.ts";

/** What this test uses of Socket.IO's client, which it loads by name: types check where the package is not installed. */
type Socket = {
  connected: boolean;
  on(event: "message", listener: (message: Message, ack: () => void) => void): void;
  on(event: "receipt", listener: (id: number) => void): void;
  timeout(ms: number): { emitWithAck(event: string, body: object): Promise<unknown> };
  close(): void;
};
type Connect = (url: string, options: { transports: string[]; auth: object; forceNew: boolean }) => Socket;
const CLIENT: string = "socket.io-client";
const { io } = (await import(CLIENT)) as { io: Connect };

type Message = { id: number; sender: string; text: string; sentAt: number };
type Client = { socket: Socket; messages: Message[]; receipts: number[] };

const directory = mkdtempSync(join(tmpdir(), "parley-socket-io-"));
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  rmSync(directory, { recursive: true, force: true });
});

async function startPeer(file: string): Promise<ServerProcess> {
  const server = await startServer("socket.io", [
    process.execPath,
    join(ROOT, "bench/peers/socket-io/server.mjs"),
    file,
  ]);
  ends.push(() => server.end());
  return server;
}

async function connect({ url }: ServerProcess, user: string, after = 0): Promise<Client> {
  const socket = io(url.href, { transports: ["websocket"], auth: { user, after }, forceNew: true });
  ends.unshift(() => socket.close());
  const client: Client = { socket, messages: [], receipts: [] };
  socket.on("message", (message, ack) => {
    client.messages.push(message);
    ack();
  });
  socket.on("receipt", (id) => client.receipts.push(id));
  await until(`${user} is connected`, () => socket.connected);
  return client;
}

const send = (client: Client, to: string, text: string): Promise<{ id: number }> =>
  client.socket.timeout(5000).emitWithAck("send", { to, text }) as Promise<{ id: number }>;

test("a message is acked when it is in the database, delivered, and its sender gets a receipt", async () => {
  const file = join(mkdtempSync(directory), "messages.sqlite");
  const server = await startPeer(file);
  const [ann, bob] = [await connect(server, "ann"), await connect(server, "bob")];
  const { id } = await send(ann, "bob", "höllo");
  // From the outside, right after the ack: another connection sees only what is committed.
  const database = new Database(file, { readonly: true });
  ends.unshift(() => database.close());
  expect(database.prepare("SELECT id, sender, receiver, text FROM messages").all()).toEqual([
    { id, sender: "ann", receiver: "bob", text: "höllo" },
  ]);
  expect(database.pragma("journal_mode", { simple: true })).toBe("wal");
  await until("the receipt is back", () => ann.receipts.includes(id));
  expect(bob.messages).toMatchObject([{ id, sender: "ann", text: "höllo" }]);
});

test("who was away gets what came after the last id it has, in order, and senders get the receipts", async () => {
  const server = await startPeer(join(mkdtempSync(directory), "messages.sqlite"));
  const ann = await connect(server, "ann");
  const ids: number[] = [];
  for (const text of ["one", "two", "three"]) ids.push((await send(ann, "bob", text)).id);
  const bob = await connect(server, "bob", ids[0]);
  await until("the receipts are back", () => ann.receipts.length === 2);
  expect(bob.messages.map(({ text }) => text)).toEqual(["two", "three"]);
  expect(ann.receipts).toEqual(ids.slice(1));
});
