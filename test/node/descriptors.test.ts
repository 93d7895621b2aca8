/** A server that may open few files: connections do not take what the log, the flushes and the newcomers need. Real processes under `ulimit -n`. */
import { afterEach, expect, test } from "bun:test";
import type { Socket } from "bun";
import { randomBytes } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { Device, FROM_THE_BEGINNING } from "../support/device.ts";
import { TestProcess } from "../support/test-process.ts";
import { until } from "../support/wait.ts";

const FILES_MAX = 96;
const STRANGERS = 150;

let server: TestProcess;
let strangers: Strangers;
afterEach(async () => {
  strangers.leave();
  await server.remove();
});

/** Connections that begin a request and never end it; whoever is closed comes back at once. */
class Strangers {
  readonly #sockets = new Set<Socket>();
  readonly #url: URL;
  #isOver = false;
  closed = 0;

  constructor(url: string, count: number) {
    this.#url = new URL(url);
    for (let n = 0; n < count; n++) void this.#connect();
  }

  get open(): number {
    return this.#sockets.size;
  }

  async #connect(): Promise<void> {
    const { hostname, port } = this.#url;
    const close = (socket: Socket): void => {
      this.#sockets.delete(socket);
      this.closed++;
      if (!this.#isOver) void this.#connect();
    };
    const open = (socket: Socket): void => {
      this.#sockets.add(socket);
      socket.write("GET /");
    };
    await Bun.connect({ hostname, port: Number(port), socket: { open, close, data() {} } }).catch(() => {});
  }

  leave(): void {
    this.#isOver = true;
    for (const socket of this.#sockets) socket.terminate();
  }
}

const start = (...args: string[]): Promise<TestProcess> =>
  TestProcess.startBy(["sh", "-c", `ulimit -n ${FILES_MAX}; exec "$@"`, "sh"], "--log-level", "info", ...args);

function flushedBytes(): number {
  const directory = join(server.dataDirectory, "shards");
  const names = readdirSync(directory, { recursive: true }) as string[];
  return names.reduce((sum, name) => sum + (statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0), 0);
}

const lines = (message: string): Record<string, unknown>[] =>
  server.stderr
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((line) => line["message"] === message);

test("150 strangers who never end a request stop no send, no newcomer and no reader, and what was sent is flushed", async () => {
  server = await start("--memtable-mb", "4");
  const [alice, bob] = (await server.api.users("alice", "bob")) as [Credentials, Credentials];
  const sender = await server.connect(alice);
  strangers = new Strangers(server.url, STRANGERS);
  await until("the server has closed some", () => strangers.closed > 20);
  // Enough for the log to leave its first file, and for flushes.
  const text = randomBytes(7500).toString("hex");
  for (let n = 0; n < 300; n++) await sender.say("@bob", `${n} ${text}`);
  await until("all have come back", () => strangers.open > STRANGERS / 2);
  await until("memory is flushed", () => flushedBytes() > 1 << 18);
  for (let n = 0; n < 5; n++) {
    const receiver = await server.connect(bob, FROM_THE_BEGINNING);
    await receiver.take("live");
    expect(receiver.all("message").length).toBeGreaterThan(100);
    receiver.terminate();
  }
  expect((await server.api.call("GET", "/readyz")).status).toBe(200);
  expect(lines("writes are refused")).toEqual([]);
  expect(lines("connections take nearly all files that may be open")).toMatchObject([
    { level: "warn", filesMax: FILES_MAX },
  ]);
  expect(await server.stop()).toBe(0);
});

test("when all connections are in use a further one is told so, those that are there go on, and there is room when some have left", async () => {
  server = await start();
  strangers = new Strangers(server.url, 0);
  const [alice, bob] = (await server.api.users("alice", "bob")) as [Credentials, Credentials];
  const devices = await Promise.all(Array.from({ length: 30 }, () => server.connect(alice)));
  const upgrade = (): Promise<Response> =>
    fetch(`${server.url}/v1/ws`, {
      headers: {
        upgrade: "websocket",
        connection: "upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      },
    });
  const fill = async (open: () => Promise<Device>, into: Device[]): Promise<void> => {
    for (let device = await open().catch(() => {}); device !== undefined; device = await open().catch(() => {})) {
      into.push(device);
      expect(into.length).toBeLessThan(FILES_MAX);
    }
  };
  await fill(() => server.connect(alice), devices);
  // Somebody who has none gets one of hers, and what is kept for those who have not said hello is there for them alone.
  const newcomer = await server.connect(bob);
  expect((await devices.shift()!.end()).code).toBe(4003);
  const silent: Device[] = [];
  await fill(() => Device.open(server.url), silent);
  expect(silent.length).toBeGreaterThan(0);
  const refusal = await upgrade();
  expect([refusal.status, ((await refusal.json()) as { code: string }).code]).toEqual([503, "unavailable"]);
  await newcomer.say("@bob", "here");
  for (const device of devices.slice(0, 5)) await device.say("@alice", "x".repeat(15_000));
  expect((await server.api.call("GET", "/readyz")).status).toBe(200);
  for (const device of [...devices.splice(0, 5), ...silent]) device.terminate();
  await until("there is room", () =>
    server.connect(alice).then(
      () => true,
      () => false,
    ),
  );
});
