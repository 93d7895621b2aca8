import { afterEach, describe, expect, test } from "bun:test";
import { ParleyClient, type ClientEvent, type ClientOptions } from "../../src/client/client.ts";
import { MemoryCursorStore, type CursorStore } from "../../src/client/cursor-store.ts";
import { ParleyError } from "../../src/client/errors.ts";
import type { Cursor, ServerFrame, WireMessage } from "../../src/protocol/frames.ts";
import { until as holds } from "../support/wait.ts";
import { WatchedClock } from "../support/watched-clock.ts";
import { ScriptedServer } from "./scripted-server.ts";

const open: { server: ScriptedServer; clients: ParleyClient[] }[] = [];

function newServer(): ScriptedServer {
  const server = new ScriptedServer();
  open.push({ server, clients: [] });
  return server;
}

const RECEIVED_INTERVAL_MS = 5;

type Device = { client: ParleyClient; texts: string[]; events: ClientEvent[] };

function newDevice(server: ScriptedServer, options: Partial<ClientOptions> = {}): Device {
  const texts: string[] = [];
  const events: ClientEvent[] = [];
  const client = new ParleyClient({
    url: server.url,
    token: "good",
    backoffBaseMs: 2,
    backoffMaxMs: 20,
    receivedIntervalMs: RECEIVED_INTERVAL_MS,
    onMessage: (message) => void texts.push(message.text ?? ""),
    onEvent: (event) => void events.push(event),
    ...options,
  });
  open.find((each) => each.server === server)?.clients.push(client);
  return { client, texts, events };
}

const until = (claim: () => boolean, what: string): Promise<void> => holds(what, claim);

/** Calls on connections made after it: what a client said before has reached the server. */
async function answered(server: ScriptedServer): Promise<void> {
  for (let n = 0; n < 2; n++) await (await fetch(server.url)).text();
}

async function refusalOf(promise: Promise<unknown>): Promise<ParleyError> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (outcome instanceof ParleyError) return outcome;
  throw new Error("was not refused with a ParleyError");
}

const named = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i + 1}`);
const textsOf = (server: ScriptedServer): string[] =>
  server.timeline.map((entry) => (entry.t === "message" ? (entry.text ?? "") : entry.t));

afterEach(async () => {
  for (const { server, clients } of open.splice(0)) {
    await Promise.all(clients.map((client) => client.close()));
    await server.stop();
  }
});

describe("a client", () => {
  test("on its first start gets new messages only, and its sends resolve with their seq", async () => {
    const server = newServer();
    server.post("@bob", "before");
    const { client, texts } = newDevice(server);
    await client.connect();
    expect(client.state).toBe("live");
    expect([client.user, client.device]).toEqual(["me", "d1"]);
    server.post("@bob", "after");
    await until(() => texts.length === 1, "the message");
    expect(texts).toEqual(["after"]);
    const sent = await client.send({ to: "@bob", text: "hello" });
    expect(sent.seq).toBe(3);
    expect(sent.ref).toMatch(/^[0-9A-Za-z]{6}-1$/);
    expect(client.cursor()).toEqual({ epoch: "e1", timeline: 3, groups: {}, marks: 0 });
    expect(texts).toEqual(["after"]);
  });

  test("without a cursor is live at welcome, whether or not the server says so", async () => {
    for (const saysLiveAlways of [false, true]) {
      const server = newServer();
      server.saysLiveAlways = saysLiveAlways;
      const { client, events } = newDevice(server);
      await client.connect();
      await client.send({ to: "@bob", text: "x" });
      expect(events.map(({ type }) => type)).toEqual(["connecting", "live"]);
    }
  });

  test("from the start gets everything, groups included, also if a group's entry comes before the membership", async () => {
    const server = newServer();
    server.post("@bob", "one");
    server.join("#a");
    server.post("#a", "two");
    const { client, texts, events } = newDevice(server, { from: "start" });
    await client.connect();
    expect(texts).toEqual(["one", "two"]);
    server.join("#b", true);
    server.post("#b", "three");
    await until(() => texts.length === 3, "the message of the new group");
    expect(client.cursor()?.groups).toEqual({ "#a": { epoch: "#a-1", seq: 2 }, "#b": { epoch: "#b-1", seq: 2 } });
    expect(events.filter((event) => event.type === "membership" || event.type === "group")).toHaveLength(4);
  });

  test("cut after any number of frames, gets each message once and in order, and sends each once and in order", async () => {
    for (let cut = 1; cut <= 24; cut++) {
      const server = newServer();
      server.framesPerConnection = [cut, cut + 1, cut + 2, 3, Number.POSITIVE_INFINITY];
      for (const text of named("old", 5)) server.post("@bob", text);
      const { client, texts } = newDevice(server, { from: "start", sendWindow: 4 });
      const sending = named("own", 8).map((text) => client.send({ to: "@bob", text }));
      await client.connect();
      for (const text of named("new", 5)) server.post("@bob", text);
      const sent = await Promise.all(sending);
      await until(() => texts.length >= 10, `10 messages, cut at ${cut}`);
      await until(() => client.cursor()?.timeline === 18, `the end of the timeline, cut at ${cut}`);
      expect(texts).toEqual([...named("old", 5), ...named("new", 5)]);
      expect(textsOf(server).filter((text) => text.startsWith("own"))).toEqual(named("own", 8));
      expect(sent.map(({ seq }) => textsOf(server)[seq - 1])).toEqual(named("own", 8));
    }
  });

  test("resolves a send whose ack was lost, without storing it twice or handing it to the application", async () => {
    const server = newServer();
    const { client, texts } = newDevice(server);
    await client.connect();
    server.losesSent = 1;
    const sent = await client.send({ to: "@bob", text: "once" });
    expect(sent.seq).toBe(1);
    expect(textsOf(server)).toEqual(["once"]);
    server.post("@bob", "next");
    await until(() => texts.length === 1, "the next message");
    expect(texts).toEqual(["next"]);
  });

  test("marks what it sends again, keeps its ref, and sends it before anything newer", async () => {
    const server = newServer();
    const { client } = newDevice(server, { sendWindow: 3 });
    await client.connect();
    server.losesSent = 1;
    const sent = await Promise.all(named("s", 6).map((text) => client.send({ to: "@bob", text, ref: `r-${text}` })));
    expect(sent.map(({ ref }) => ref)).toEqual(named("r-s", 6));
    expect(textsOf(server)).toEqual(named("s", 6));
    const last = new Map(server.sends.map((send) => [send.ref, send.retry === true]));
    expect([...last]).toEqual([
      ["r-s1", false],
      ["r-s2", true],
      ["r-s3", true],
      ["r-s4", false],
      ["r-s5", false],
      ["r-s6", false],
    ]);
  });

  test("pauses when the server asks for it, and sends what was refused first", async () => {
    const server = newServer();
    server.refusals = [{ code: "rate_limited", retryAfterMs: 60 }];
    const { client } = newDevice(server, { sendWindow: 1 });
    await client.connect();
    const startMs = performance.now();
    await Promise.all(named("s", 4).map((text) => client.send({ to: "@bob", text })));
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(55);
    expect(textsOf(server)).toEqual(named("s", 4));
    expect(server.sends.map((send) => [send.text, send.retry === true])).toEqual([
      ["s1", false],
      ["s1", true],
      ["s2", false],
      ["s3", false],
      ["s4", false],
    ]);
  });

  test("rejects a send that is refused for good, with the server's code and words", async () => {
    const server = newServer();
    server.refusals = [{ code: "ref_conflict" }, { code: "a_code_of_tomorrow" }];
    const { client } = newDevice(server);
    await client.connect();
    const refused = await refusalOf(client.send({ to: "@bob", text: "x" }));
    expect([refused.code, refused.detail]).toEqual(["ref_conflict", "as asked"]);
    expect((await refusalOf(client.send({ to: "@bob", text: "x" }))).code).toBe("internal");
    expect((await client.send({ to: "@bob", text: "y" })).seq).toBe(1);
  });

  test("refuses by itself a message that is too large, one above outboxMax, and a ref in flight", async () => {
    const server = newServer();
    const { client } = newDevice(server, { outboxMax: 2 });
    const first = client.send({ to: "@bob", text: "1", ref: "r" });
    expect((await refusalOf(client.send({ to: "@bob", text: "2", ref: "r" }))).code).toBe("ref_conflict");
    expect((await refusalOf(client.send({ to: "@bob", text: "é".repeat(40_000) }))).code).toBe("too_large");
    const second = client.send({ to: "@bob", text: "2" });
    expect((await refusalOf(client.send({ to: "@bob", text: "3" }))).code).toBe("unavailable");
    await client.connect();
    expect((await Promise.all([first, second])).map(({ seq }) => seq)).toEqual([1, 2]);
  });

  test("hands over messages of the user's other devices, and own ones that this instance did not send", async () => {
    const server = newServer();
    server.post("@bob", "sent before the restart", "old-1");
    const { client, texts } = newDevice(server, { from: "start" });
    await client.connect();
    server.post("@bob", "from the phone", "phone-1");
    await until(() => texts.length === 2, "both");
    expect(texts).toEqual(["sent before the restart", "from the phone"]);
  });
});

describe("what was handed over", () => {
  test("is reported as received only when the application has finished and the cursor is saved", async () => {
    const server = newServer();
    const order: string[] = [];
    const gate = Promise.withResolvers<void>();
    const store: CursorStore = {
      load: () => ({ epoch: "e1", timeline: 0, groups: {} }),
      save: async (cursor) => {
        await Bun.sleep(1);
        order.push(`saved ${cursor.timeline}, server heard ${server.received.length}`);
      },
    };
    server.post("@bob", "one");
    const clock = new WatchedClock();
    const { client } = newDevice(server, {
      cursorStore: store,
      clock,
      onMessage: () => gate.promise.then(() => void order.push("handled")),
    });
    const connecting = client.connect();
    await until(() => client.cursor()?.timeline === 1, "the message to be in hand");
    await answered(server);
    expect([order, server.received]).toEqual([[], []]);
    // Nor is anything of it put off.
    expect(clock.putOffMs()).not.toContain(RECEIVED_INTERVAL_MS);
    gate.resolve();
    await connecting;
    await until(() => server.received.length === 1, "received");
    expect(order).toEqual(["handled", "saved 1, server heard 0"]);
    expect(server.received).toEqual([{ t: "received", seq: 1 }]);
  });

  test("is reported as received once for many entries", async () => {
    const server = newServer();
    const { client, texts } = newDevice(server, { receivedIntervalMs: 1000, receivedEntriesMax: 64 });
    await client.connect();
    for (const text of named("m", 130)) server.post("@bob", text);
    await until(() => texts.length === 130, "all");
    await client.close();
    await until(() => server.received.length === 3, "the last received");
    expect(server.received.map(({ seq }) => seq)).toEqual([64, 128, 130]);
  });

  test("comes again after the application threw, and nothing later comes before it", async () => {
    const server = newServer();
    const tries: string[] = [];
    const { client, events } = newDevice(server, {
      onMessage: (message) => {
        tries.push(message.text ?? "");
        if (message.text === "m2" && tries.length < 4) throw new Error("disk full");
      },
    });
    await client.connect();
    for (const text of named("m", 3)) server.post("@bob", text);
    await until(() => tries.at(-1) === "m3", "the end");
    expect(tries).toEqual(["m1", "m2", "m2", "m2", "m3"]);
    expect(events.filter((event) => event.type === "error")).toHaveLength(2);
  });

  test("waits for a slow application one by one, and a flood it cannot take is resumed, not lost", async () => {
    const server = newServer();
    const texts: string[] = [];
    let inHand = 0;
    const onMessage = async (message: WireMessage) => {
      expect(++inHand).toBe(1);
      await Bun.sleep(0);
      inHand--;
      texts.push(message.text ?? "");
    };
    const { client } = newDevice(server, { inboxMax: 10, onMessage });
    await client.connect();
    for (const text of named("m", 100)) server.post("@bob", text);
    await until(() => texts.length >= 100, "all");
    expect(texts).toEqual(named("m", 100));
    expect(client.stats.connections).toBeGreaterThan(1);
  });

  test("is not repeated to the next run, which says received for the last one and goes on from its cursor", async () => {
    const server = newServer();
    const cursorStore = new MemoryCursorStore();
    const first = newDevice(server, { cursorStore });
    await first.client.connect();
    server.post("@bob", "one");
    await until(() => first.texts.length === 1, "the first");
    await first.client.close();
    server.received.length = 0;
    server.post("@bob", "two");
    const second = newDevice(server, { cursorStore });
    await second.client.connect();
    expect(second.texts).toEqual(["two"]);
    await until(() => server.received.length === 1, "received");
    expect(server.hellos.at(-1)?.cursor?.timeline).toBe(1);
  });

  test("is not reported as received while the cursor cannot be saved", async () => {
    const server = newServer();
    let failures = 2;
    const store: CursorStore = {
      load: () => undefined,
      save: () => {
        if (failures-- > 0) throw new Error("quota");
      },
    };
    const { client, events } = newDevice(server, { cursorStore: store, receivedIntervalMs: 1 });
    await client.connect();
    server.post("@bob", "one");
    await until(() => server.received.length === 1, "received");
    expect(failures).toBeLessThan(0);
    expect(events.filter((event) => event.type === "error").length).toBe(2);
  });
});

describe("holes", () => {
  test("announced by a gap are paged, in order, with what arrives meanwhile behind them", async () => {
    const server = newServer();
    server.resumeEntriesMax = 4;
    for (const text of named("m", 20)) server.post("@bob", text);
    const { client, texts, events } = newDevice(server, { from: "start" });
    const connecting = client.connect();
    await until(() => events.some((event) => event.type === "gap"), "the gap");
    server.post("@bob", "m21");
    await connecting;
    await until(() => texts.length >= 21, "all");
    expect(texts).toEqual(named("m", 21));
    expect(client.stats.holes).toBe(0);
  });

  test("being paged when the application fails are paged again from the message that it refused", async () => {
    const server = newServer();
    server.resumeEntriesMax = 2;
    for (const text of named("m", 9)) server.post("@bob", text);
    const taken: string[] = [];
    let failures = 2;
    const onMessage = (message: WireMessage) => {
      if (message.text === "m2" && failures-- > 0) throw new Error("not now");
      taken.push(message.text ?? "");
    };
    const { client, events } = newDevice(server, { from: "start", onMessage });
    await client.connect();
    expect(taken).toEqual(named("m", 9));
    expect(events.filter((event) => event.type === "lost")).toEqual([]);
  });

  test("that were not announced cost the connection and nothing else", async () => {
    const server = newServer();
    const { client, texts } = newDevice(server);
    await client.connect();
    server.timeline.push({ t: "message", id: "x", conversation: "@bob", from: "bob", text: "m1", seq: 1, sentAt: 1 });
    server.post("@bob", "m2");
    await until(() => texts.length === 2, "both");
    expect(texts).toEqual(["m1", "m2"]);
    expect(client.stats.holes).toBe(1);
  });

  test("that are repeats are ignored", async () => {
    const server = newServer();
    const { client, texts } = newDevice(server);
    await client.connect();
    server.push(server.post("@bob", "m1"));
    server.post("@bob", "m2");
    await until(() => texts.length === 2, "both");
    expect(texts).toEqual(["m1", "m2"]);
    expect(client.stats.duplicates).toBe(1);
  });

  test("of another history cause a reset, and the client continues from its head", async () => {
    const server = newServer();
    for (const text of named("m", 3)) server.post("@bob", text);
    const { client, texts, events } = newDevice(server, {
      cursorStore: new MemoryCursorStore({ epoch: "gone", timeline: 9, groups: {} }),
    });
    await client.connect();
    expect(events.filter((event) => event.type === "reset")).toEqual([{ type: "reset" }]);
    expect(client.cursor()?.timeline).toBe(3);
    server.post("@bob", "m4");
    await until(() => texts.length === 1, "the next");
    expect(texts).toEqual(["m4"]);
  });

  test("of another history, on a device that wants everything, are loaded from the beginning", async () => {
    const server = newServer();
    for (const text of named("m", 8)) server.post("@bob", text);
    const { client, texts } = newDevice(server, {
      from: "start",
      cursorStore: new MemoryCursorStore({ epoch: "gone", timeline: 9, groups: {} }),
    });
    await client.connect();
    expect(texts).toEqual(named("m", 8));
  });
});

describe("closed with", () => {
  for (const code of [4000, 4001, 4002, 4003, 1011]) {
    test(`${code}, it comes back`, async () => {
      const server = newServer();
      const { client, texts, events } = newDevice(server);
      await client.connect();
      server.cutAll(code);
      await until(() => events.some((event) => event.type === "offline"), "offline");
      server.post("@bob", "missed");
      await until(() => texts.length === 1, "the missed message");
      expect(server.hellos.at(-1)?.cursor?.timeline).toBe(0);
    });
  }

  test("4003 and a time, it comes back no sooner", async () => {
    const server = newServer();
    const { client } = newDevice(server);
    await client.connect();
    const startMs = performance.now();
    server.push({ t: "bye", code: 4003, reason: "full", afterMs: 80 });
    await until(() => server.hellos.length === 2, "the second hello");
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(78);
  });

  test("4002 and a URL, it goes there, and back to its own URL when no server answers", async () => {
    const [old, next] = [newServer(), newServer()];
    const { client } = newDevice(old);
    await client.connect();
    old.push({ t: "bye", code: 4002, reason: "moved", url: next.url });
    await until(() => next.hellos.length === 1, "the hello at the new place");
    await until(() => client.state === "live", "live");
    next.push({ t: "bye", code: 4002, reason: "moved", url: "http://127.0.0.1:1" });
    await until(() => old.hellos.length === 2, "the hello at the old place");
  });

  test("4500, it ends with an error and does not come back", async () => {
    const server = newServer();
    const clock = new WatchedClock();
    const { client, events } = newDevice(server, { token: "bad", clock });
    const sending = refusalOf(client.send({ to: "@bob", text: "x" }));
    expect((await refusalOf(client.connect())).code).toBe("unauthorized");
    expect((await sending).code).toBe("unauthorized");
    expect(client.state).toBe("closed");
    expect(events.map((event) => event.type)).toEqual(["connecting", "error", "closed"]);
    expect(clock.putOffMs()).toEqual([]);
    expect(server.upgrades).toBe(1);
  });

  test("its own close, it reports what it received, and rejects sends without an ack", async () => {
    const server = newServer();
    const { client, texts } = newDevice(server, { receivedIntervalMs: 10_000 });
    await client.connect();
    server.post("@bob", "one");
    await until(() => texts.length === 1, "the message");
    server.refusals = [{ code: "unavailable", retryAfterMs: 60_000 }];
    const sending = refusalOf(client.send({ to: "@bob", text: "x" }));
    await until(() => server.sends.length === 1, "the send");
    await client.close();
    await until(() => server.received.length === 1, "received");
    expect((await sending).code).toBe("unavailable");
    expect((await refusalOf(client.connect())).code).toBe("unavailable");
  });
});

describe("a server that", () => {
  test("does not answer hello is disconnected, and tried again", async () => {
    const server = newServer();
    server.answersHello = false;
    const { client } = newDevice(server, { connectTimeoutMs: 30, transport: "socket" });
    const connecting = client.connect();
    await until(() => server.hellos.length >= 2, "the second hello");
    server.answersHello = true;
    await connecting;
  });

  test("falls silent is pinged, then disconnected", async () => {
    const server = newServer();
    server.heartbeatMs = 40;
    const { client } = newDevice(server);
    await client.connect();
    await until(() => server.said.filter((frame) => frame.t === "ping").length >= 3, "pings");
    expect(server.hellos).toHaveLength(1);
    server.answersPing = false;
    await until(() => server.hellos.length >= 2, "the second hello");
    expect(client.state).not.toBe("closed");
  });

  test("sends no JSON, or frames of a later version, costs at most the connection", async () => {
    const server = newServer();
    const { client, texts } = newDevice(server);
    await client.connect();
    server.push({ t: "presence", users: {} } as unknown as ServerFrame);
    server.post("@bob", "one");
    await until(() => texts.length === 1, "the message");
    expect(server.hellos).toHaveLength(1);
    server.push("no frame" as unknown as ServerFrame);
    await until(() => server.hellos.length === 2, "the second hello");
  });

  test("was away when the user read a message gets the mark later", async () => {
    const server = newServer();
    const { client } = newDevice(server);
    client.markRead("@bob", 2);
    client.markRead("@bob", 3);
    client.markRead("@bob", 1);
    await client.connect();
    await until(() => server.said.some((frame) => frame.t === "read"), "read");
    expect(server.said.filter((frame) => frame.t === "read")).toEqual([{ t: "read", conversation: "@bob", seq: 3 }]);
  });
});

describe("where a socket cannot be had", () => {
  test("messages come and go by long poll, each once and in order", async () => {
    const server = newServer();
    server.refusesUpgrade = true;
    server.post("@bob", "m1");
    const { client, texts, events } = newDevice(server, { from: "start" });
    await client.connect();
    expect(events.at(-1)).toEqual({ type: "live", transport: "poll" });
    server.post("@bob", "m2");
    const sending = named("own", 3).map((text) => client.send({ to: "@bob", text }));
    expect((await Promise.all(sending)).map(({ seq }) => textsOf(server)[seq - 1])).toEqual(named("own", 3));
    server.join("#a", true);
    server.post("#a", "m3");
    await until(() => texts.length >= 3, "all");
    await until(() => client.cursor()?.timeline === 6, "the end");
    expect(texts).toEqual(["m1", "m2", "m3"]);
    server.refusals = [{ code: "rate_limited", retryAfterMs: 10 }];
    expect((await client.send({ to: "@bob", text: "later" })).seq).toBe(7);
  });

  test("a device that starts now gets nothing old by long poll", async () => {
    const server = newServer();
    server.post("@bob", "old");
    server.join("#a");
    const { client, texts } = newDevice(server, { transport: "poll" });
    await client.connect();
    server.post("#a", "new");
    await until(() => texts.length > 0, "the message");
    expect(texts).toEqual(["new"]);
    expect(server.upgrades).toBe(0);
  });

  test("it goes back to one as soon as it can, and nothing is lost or repeated on the way", async () => {
    const server = newServer();
    server.refusesUpgrade = true;
    const { client, texts, events } = newDevice(server, { socketRetryMs: 10 });
    await client.connect();
    for (const text of named("m", 5)) server.post("@bob", text);
    server.refusesUpgrade = false;
    const sent = await client.send({ to: "@bob", text: "own" });
    await until(() => server.hellos.length === 1, "a hello");
    await until(() => client.state === "live", "live");
    for (const text of ["m6", "m7"]) server.post("@bob", text);
    await until(() => texts.length >= 7, "all");
    expect(texts).toEqual(named("m", 7));
    expect(events.at(-1)).toEqual({ type: "live", transport: "socket" });
    expect(textsOf(server)[sent.seq - 1]).toBe("own");
    expect(textsOf(server).filter((text) => text === "own")).toHaveLength(1);
  });

  test("a bad token ends it there too", async () => {
    const server = newServer();
    const { client } = newDevice(server, { transport: "poll", token: "bad" });
    expect((await refusalOf(client.connect())).code).toBe("unauthorized");
  });

  test("a page counts as received only after it was handled and saved", async () => {
    const server = newServer();
    const saved: Cursor[] = [];
    const gate = Promise.withResolvers<void>();
    const cursorStore = { load: () => undefined, save: (cursor: Cursor) => void saved.push(cursor) };
    const { client } = newDevice(server, { transport: "poll", cursorStore, onMessage: () => gate.promise });
    await client.connect();
    server.post("@bob", "one");
    await until(() => client.cursor()?.timeline === 1, "the message to be in hand");
    const syncs = server.syncs;
    await answered(server);
    expect(server.syncs).toBe(syncs);
    expect(saved.every(({ timeline }) => timeline === 0)).toBe(true);
    gate.resolve();
    await until(() => server.syncs > syncs, "the next sync");
    expect(saved.at(-1)?.timeline).toBe(1);
  });
});
