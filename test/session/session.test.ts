import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { Device, FROM_THE_BEGINNING, type Closed } from "../support/device.ts";
import { SlowReader } from "../support/slow-reader.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { TestProcess } from "../support/test-process.ts";
import { until } from "../support/wait.ts";
import { WatchedClock } from "../support/watched-clock.ts";

let node: TestNode;
const clock = new WatchedClock();
const HELLO_TIMEOUT_MS = 5000;

beforeAll(async () => {
  node = await startTestNode({}, { clock });
});
afterAll(() => node.stop());

let people = 0;
const somebody = (): Promise<Credentials> => node.api.user(`user${++people}`);

async function refusedHello(hello: object): Promise<Closed> {
  const device = await Device.open(node.url);
  device.raw(JSON.stringify(hello));
  const closed = await device.end();
  expect(device.frames).toEqual([{ t: "bye", code: closed.code, reason: expect.any(String) }]);
  return closed;
}

describe("hello", () => {
  test("welcome tells who, where, the heads and the limits", async () => {
    const who = await node.api.user("wendy", "phone");
    const group = await node.api.group(who, "wendys", []);
    const device = await node.connect(who);
    await device.say("@wendy", "a note");
    const { welcome } = await node.connect(who);
    expect(welcome).toEqual({
      t: "welcome",
      user: "wendy",
      device: "phone",
      node: "n1",
      epoch: expect.stringMatching(/^[a-z2-7]{8}$/),
      timeline: 2,
      groups: { "#wendys": group.head },
      marks: 0,
      heartbeatMs: 25_000,
      limits: DEFAULT_LIMITS,
    });
  });

  test.each([
    ["no token at all", ""],
    ["no token of any kind", "x"],
    ["three dots", "..."],
    ["a token without a signature", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ3ZW5keSIsImRldmljZSI6InBob25lIn0."],
    ["a very long token", "x".repeat(60_000)],
  ])("with %s is closed with 4500", async (_, token) => {
    expect((await refusedHello({ t: "hello", token })).code).toBe(4500);
  });

  test("with a token whose signature was changed is closed with 4500", async () => {
    const { token } = await somebody();
    const at = token.lastIndexOf(".") + 5;
    const changed = token.slice(0, at) + (token[at] === "A" ? "B" : "A") + token.slice(at + 1);
    expect((await refusedHello({ t: "hello", token: changed })).code).toBe(4500);
  });

  test("of a device that was logged out, or whose login was replaced, is closed with 4500", async () => {
    const gone = await somebody();
    await node.api.call("POST", "/v1/logout", gone.token);
    expect((await refusedHello({ t: "hello", token: gone.token })).code).toBe(4500);
    const first = await node.api.user(gone.user, "phone");
    const second = await node.api.user(gone.user, "phone");
    expect((await refusedHello({ t: "hello", token: first.token })).code).toBe(4500);
    expect((await node.connect(second)).welcome.device).toBe("phone");
  });

  test.each([
    ["another frame first", { t: "ping" }],
    ["a send first", { t: "send", ref: "x", to: "@x", text: "x" }],
    ["no JSON object", []],
    ["no token", { t: "hello" }],
    ["a token that is a number", { t: "hello", token: 7 }],
    ["a cursor that is null", { t: "hello", token: "x", cursor: null }],
    ["a cursor without a timeline", { t: "hello", token: "x", cursor: { epoch: "" } }],
    ["a cursor whose groups are a list", { t: "hello", token: "x", cursor: { epoch: "", timeline: 0, groups: [1] } }],
    [
      "a cursor with a group that has no name",
      { t: "hello", token: "x", cursor: { epoch: "", timeline: 0, groups: { "@bob": { epoch: "", seq: 0 } } } },
    ],
    [
      "a cursor with negative marks",
      { t: "hello", token: "x", cursor: { epoch: "", timeline: 0, groups: {}, marks: -1 } },
    ],
    ["a long type of many bytes", { t: "€".repeat(100) }],
  ])("with %s is closed with 4501", async (_, frame) => {
    expect((await refusedHello(frame)).code).toBe(4501);
  });

  test("binary, and what is no JSON, are closed with 4501", async () => {
    for (const raw of ["nonsense", "", new Uint8Array([123, 125])]) {
      const device = await Device.open(node.url);
      device.raw(raw);
      expect((await device.end()).code).toBe(4501);
    }
  });

  test("the 129th connection of a user is told to come back later, and others are not counted with it", async () => {
    const many = await somebody();
    const devices = await Promise.all(Array.from({ length: 128 }, () => node.connect(many)));
    const one = await Device.open(node.url);
    one.send({ t: "hello", token: many.token });
    expect((await one.end()).code).toBe(4003);
    expect(one.frames).toMatchObject([{ t: "bye", code: 4003, afterMs: expect.any(Number) }]);
    await node.connect(await somebody());
    await devices[0]!.close();
    await node.connect(many);
    for (const device of devices) device.terminate();
  });
});

describe("logout", () => {
  test("closes the device's sockets with 4502 and no others, and ends its waiting poll", async () => {
    const who = await somebody();
    const gone = [await node.connect(who), await node.connect(who, FROM_THE_BEGINNING)];
    const stays = await node.connect(await node.api.user(who.user));
    const poll = node.api.post("/v1/sync", who.token, { cursor: FROM_THE_BEGINNING, waitMs: 20_000 });
    await stays.untaken();
    expect((await node.api.call("POST", "/v1/logout", who.token)).status).toBe(204);
    for (const device of gone) {
      expect((await device.end()).code).toBe(4502);
      expect(device.frames.at(-1)).toMatchObject({ t: "bye", code: 4502 });
    }
    expect((await poll).status).toBe(401);
    expect((await stays.say(`@${who.user}`, "still here")).seq).toBe(1);
    expect((await node.api.get("/v1/conversations", who.token)).status).toBe(401);
  });

  test("a new login of the same device closes the sockets of the old one with 4502", async () => {
    const name = `user${++people}`;
    const device = await node.connect(await node.api.user(name, "phone"));
    const again = await node.api.user(name, "phone");
    expect((await device.end()).code).toBe(4502);
    await (await node.connect(again)).say(`@${name}`, "hello");
  });
});

describe("sends before live", () => {
  test("wait for it in a bounded inbox; what does not fit is refused with its ref", async () => {
    const who = await somebody();
    const full = await node.connect(await somebody());
    for (let n = 0; n < 900; n += 100) {
      for (let m = 0; m < 100; m++) full.post(`@${who.user}`, "x".repeat(16_000));
      await full.takeMany("sent", 100);
    }
    const reader = await SlowReader.connect(node.port, who, FROM_THE_BEGINNING);
    await reader.take("message");
    reader.pause();
    for (let n = 0; n < 300; n++) reader.send({ t: "send", ref: `early-${n}`, to: `@${who.user}`, text: `early ${n}` });
    reader.send({ t: "received", seq: 1_000_000 });
    reader.resume();
    const answers = () =>
      reader.frames.filter((frame) => (frame.t === "sent" || frame.t === "error") && frame.ref !== undefined);
    await until("all are answered", () => answers().length === 300);
    const sent = reader.frames.filter((frame) => frame.t === "sent");
    expect(sent.map(({ ref }) => ref)).toEqual(Array.from({ length: 256 }, (_, n) => `early-${n}`));
    const refused = reader.frames.filter((frame) => frame.t === "error" && frame.ref !== undefined);
    expect(refused).toHaveLength(44);
    for (const error of refused) expect(error).toMatchObject({ code: "rate_limited" });
    const live = reader.frames.findIndex(({ t }) => t === "live");
    expect(reader.frames.findIndex(({ t }) => t === "sent")).toBeGreaterThan(live);
    const seqs = reader.frames.flatMap((frame) => (frame.t === "message" || frame.t === "sent" ? [frame.seq] : []));
    expect(seqs).toEqual(Array.from({ length: 1156 }, (_, index) => index + 1));
    // What did not fit was said before this one: it must not end up behind it.
    reader.send({ t: "send", ref: "late", to: `@${who.user}`, text: "late" });
    await until("it is answered", () => reader.frames.some((frame) => "ref" in frame && frame.ref === "late"));
    expect(reader.frames.at(-1)).toMatchObject({ t: "error", ref: "late", code: "rate_limited" });
    await reader.destroy();
  });

  test("are answered after welcome, and in their order, without a cursor", async () => {
    const who = await somebody();
    const device = await Device.open(node.url);
    device.send({ t: "hello", token: who.token });
    const refs = Array.from({ length: 50 }, (_, n) => device.post(`@${who.user}`, `early ${n}`));
    const sent = await device.takeMany("sent", 50);
    expect(sent.map(({ ref }) => ref)).toEqual(refs);
    expect(device.frames[0]!.t).toBe("welcome");
    device.terminate();
  });
});

describe("too many sends", () => {
  let slow: TestNode;
  const burst = 20;
  beforeAll(async () => {
    slow = await startTestNode({ sendRate: 50, sendBurst: burst });
  });
  afterAll(() => slow.stop());

  test("are refused with the time to wait, none behind the first refused slips in, and after the wait they are taken", async () => {
    const [who] = await slow.api.users("una");
    const device = await slow.connect(who!);
    let open = Array.from({ length: 60 }, (_, n) => ({ ref: `r-${n}`, text: `text ${n}` }));
    const accepted: string[] = [];
    for (let waits = 0; open.length > 0; waits++) {
      expect(waits).toBeLessThan(20);
      for (const { ref, text } of open) device.post("@una", text, ref);
      const answers = await Promise.all(open.map(({ ref }) => device.answerTo(ref)));
      const firstRefused = answers.findIndex(({ t }) => t === "error");
      if (waits === 0) expect(firstRefused).toBeGreaterThanOrEqual(burst);
      const taken = firstRefused === -1 ? answers.length : firstRefused;
      expect(answers.slice(taken).every(({ t }) => t === "error")).toBe(true);
      accepted.push(...open.slice(0, taken).map(({ text }) => text));
      const refused = answers[taken];
      open = open.slice(taken);
      if (refused?.t !== "error") continue;
      expect(refused.code).toBe("rate_limited");
      expect(refused.retryAfterMs).toBeGreaterThan(0);
      expect(refused.retryAfterMs).toBeLessThanOrEqual(2000);
      await Bun.sleep(refused.retryAfterMs!);
    }
    expect((await slow.api.history(who!, "@una")).map(({ text }) => text)).toEqual(accepted);
    expect(accepted).toEqual(Array.from({ length: 60 }, (_, n) => `text ${n}`));
  });

  test("count for the user, over all devices and HTTP; repeats, marks and pings are free", async () => {
    // So slow that nothing is earned while this runs.
    const strict = await startTestNode({ sendRate: 1, sendBurst: burst });
    const [who] = await strict.api.users("ute");
    const [one, two] = [await strict.connect(who!), await strict.connect(await strict.api.user("ute"))];
    const first = await one.say("@ute", "first", "first");
    for (let n = 1; n < burst; n++) await one.say("@ute", `text ${n}`);
    expect(await two.ask("@ute", "too many")).toMatchObject({ t: "error", code: "rate_limited" });
    const answer = await strict.api.post("/v1/messages", who!.token, { to: "@ute", text: "too many", ref: "http-1" });
    expect([answer.status, answer.body.code]).toEqual([429, "rate_limited"]);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await two.say("@ute", "first", "first")).toMatchObject({ id: first.id, duplicate: true });
    two.send({ t: "received", seq: 1 });
    expect(await two.untaken()).not.toContainEqual(expect.objectContaining({ t: "error" }));
    const [other] = await strict.api.users("ulf");
    expect((await (await strict.connect(other!)).say("@ute", "not limited by others")).t).toBe("sent");
    await strict.stop();
  });
});

describe("SIGTERM", () => {
  test("everything acked, bye 4000 to all, exit 0, and all of it is there afterwards", async () => {
    const server = await TestProcess.start("--send-burst", "100000");
    try {
      const [alice, bob] = (await server.api.users("alice", "bob")) as [Credentials, Credentials];
      const sender = await server.connect(alice);
      const others = [
        await server.connect(bob),
        await server.connect(bob, FROM_THE_BEGINNING),
        await Device.open(server.url),
      ];
      const poll = server.api.post("/v1/sync", bob.token, {
        cursor: { ...FROM_THE_BEGINNING, timeline: 0 },
        waitMs: 20_000,
      });
      const refs = Array.from({ length: 400 }, (_, n) => sender.post("@alice", `text ${n}`));
      await sender.take("sent");
      const exit = server.stop();
      for (const device of [sender, ...others]) {
        expect((await device.end()).code).toBe(4000);
        expect(device.frames.at(-1)).toMatchObject({ t: "bye", code: 4000, afterMs: expect.any(Number) });
      }
      expect((await poll).status).toBe(503);
      expect(await exit).toBe(0);
      const acked = sender.all("sent").map(({ ref }) => ref);
      const refused = sender.all("error").map(({ ref, code }) => [ref, code]);
      expect(acked).toEqual(refs.slice(0, acked.length));
      for (const [, code] of refused) expect(code).toBe("unavailable");
      await server.start();
      const stored = (await server.api.history(alice, "@alice")).map(({ ref }) => ref!);
      expect(stored).toEqual(acked);
    } finally {
      await server.remove();
    }
  });

  test("nobody gets in while it drains, and a client that does not answer does not hold it up", async () => {
    const server = await TestProcess.start();
    try {
      const [alice] = (await server.api.users("alice")) as [Credentials];
      const stuck = await SlowReader.connect(Number(new URL(server.url).port), alice);
      await stuck.take("welcome");
      stuck.pause();
      expect(await server.stop()).toBe(0);
      await stuck.destroy();
    } finally {
      await server.remove();
    }
  });
});

test("a socket that says nothing for five seconds is closed with 4501", async () => {
  const heard = await node.connect(await somebody());
  const silent = await Device.open(node.url);
  expect(clock.putOffMs().filter((ms) => ms === HELLO_TIMEOUT_MS)).toHaveLength(1);
  clock.fallDue(HELLO_TIMEOUT_MS);
  expect((await silent.end()).code).toBe(4501);
  expect(silent.frames).toMatchObject([{ t: "bye", code: 4501 }]);
  expect(await heard.untaken()).toEqual([]);
});
