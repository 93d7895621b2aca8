/** Which node a client connects to: its home, an entry, or the one that `bye` names. */
import { afterEach, expect, test } from "bun:test";
import { ParleyClient, type ClientOptions } from "../../src/client/client.ts";
import { until } from "../support/wait.ts";
import { ScriptedServer } from "./scripted-server.ts";

const MOVED = 4002;
const servers: ScriptedServer[] = [];
const clients: ParleyClient[] = [];

function server(): ScriptedServer {
  const one = new ScriptedServer();
  servers.push(one);
  return one;
}

function client(urls: string | string[], options: Partial<ClientOptions> = {}): ParleyClient {
  const one = new ParleyClient({
    ...{ url: urls, token: "good", direct: true, backoffBaseMs: 2, backoffMaxMs: 20, random: () => 0 },
    ...options,
  });
  clients.push(one);
  return one;
}

/** A URL at which nobody listens any more. */
async function goneUrl(): Promise<string> {
  const one = new ScriptedServer();
  await one.stop();
  return one.url;
}

const isAt = (one: ScriptedServer): Promise<void> =>
  until("the client is connected there", () => one.connections === 1);

afterEach(async () => {
  await Promise.all(clients.splice(0).map((one) => one.close()));
  await Promise.all(servers.splice(0).map((one) => one.stop()));
});

test("a direct client connects to its home, and never to the entry", async () => {
  const [entry, home] = [server(), server()];
  entry.home = home.url;
  await client(entry.url).connect();
  expect([entry.upgrades, home.connections]).toEqual([0, 1]);
});

test("a client that was not told to go straight asks for no route", async () => {
  const [entry, home] = [server(), server()];
  entry.home = home.url;
  await client(entry.url, { direct: false }).connect();
  expect([entry.routes, entry.connections, home.upgrades]).toEqual([0, 1, 0]);
});

test("a direct client polls at its home, too", async () => {
  const [entry, home] = [server(), server()];
  entry.home = home.url;
  await client(entry.url, { transport: "poll", pollWaitMs: 10 }).connect();
  expect([entry.syncs, home.syncs > 0]).toEqual([0, true]);
});

test("an entry that knows no such call serves the client itself", async () => {
  const entry = server();
  await client(entry.url).connect();
  expect([entry.routes, entry.connections]).toEqual([1, 1]);
});

test("a home that does not answer is left out for a time", async () => {
  const entry = server();
  entry.home = await goneUrl();
  await client(entry.url).connect();
  expect([entry.routes, entry.connections]).toEqual([1, 1]);
  entry.cutAll();
  await until("the client has come back", () => entry.hellos.length === 2);
  expect(entry.routes).toBe(1);
});

test("an entry that does not answer is followed by the next, whether it is asked or connected to", async () => {
  for (const direct of [true, false]) {
    const entry = server();
    await client([await goneUrl(), await goneUrl(), entry.url], { direct }).connect();
    expect(entry.connections).toBe(1);
  }
});

test("clients with the same list do not all begin at its first entry", async () => {
  const [first, second] = [server(), server()];
  await client([first.url, second.url], { random: () => 0.7 }).connect();
  expect([first.upgrades, second.connections]).toEqual([0, 1]);
});

test("after a lost connection the home is asked for again, and a send without an ack comes there marked", async () => {
  const [entry, home, next] = [server(), server(), server()];
  entry.home = home.url;
  home.losesSent = 1;
  const one = client(entry.url);
  await one.connect();
  entry.home = next.url;
  expect((await one.send({ to: "@bob", text: "hello", ref: "r1" })).ref).toBe("r1");
  expect(home.sends.length).toBe(1);
  expect(next.sends).toEqual([{ t: "send", ref: "r1", to: "@bob", text: "hello", retry: true }]);
});

test("a moved client goes where `bye` says, without asking", async () => {
  const [entry, home, next] = [server(), server(), server()];
  entry.home = home.url;
  await client(entry.url).connect();
  home.push({ t: "bye", code: MOVED, reason: "moved", url: next.url, afterMs: 1 });
  await isAt(next);
  expect(entry.routes).toBe(1);
});

test("a moved client that is not told where asks again", async () => {
  const [entry, home, next] = [server(), server(), server()];
  entry.home = home.url;
  await client(entry.url).connect();
  entry.home = next.url;
  home.push({ t: "bye", code: MOVED, reason: "moved", afterMs: 1 });
  await isAt(next);
});

test("where `bye` says and nobody is, the client comes back to the entry", async () => {
  const [entry, home] = [server(), server()];
  entry.home = home.url;
  await client(entry.url).connect();
  home.push({ t: "bye", code: MOVED, reason: "moved", url: await goneUrl(), afterMs: 1 });
  await isAt(entry);
});

test("moves are no failures: the wait before coming back does not grow", async () => {
  const [entry, waits] = [server(), [] as number[]];
  const one = client(entry.url, {
    ...{ backoffBaseMs: 4, backoffMaxMs: 100_000, random: () => 0.5 },
    onEvent: (event) => void (event.type === "offline" && waits.push(event.retryInMs)),
  });
  await one.connect();
  for (let move = 1; move <= 6; move++) {
    await isAt(entry);
    entry.push({ t: "bye", code: MOVED, reason: "moved", afterMs: 1 });
    await until("the client has come back", () => entry.hellos.length === move + 1);
  }
  expect(waits).toEqual([3, 3, 3, 3, 3, 3]);
});

test("a client that ends while the entry is asked connects nowhere", async () => {
  const { promise: asked, resolve: isAsked } = Promise.withResolvers<AbortSignal | undefined>();
  const entry = server();
  const one = client(entry.url, {
    fetch: (_, { signal }) => {
      isAsked(signal);
      return new Promise((_resolve, reject) => signal!.addEventListener("abort", () => reject(new Error("ended"))));
    },
  });
  const connecting = one.connect().catch(() => "refused");
  const signal = await asked;
  await one.close();
  expect([await connecting, signal?.aborted, entry.upgrades]).toEqual(["refused", true, 0]);
});

test("a URL that is none, and an empty list, are refused at once", () => {
  expect(() => client(["http://127.0.0.1:1", "nonsense"])).toThrow();
  expect(() => client([])).toThrow("empty list");
});
