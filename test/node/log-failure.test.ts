import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { FROM_THE_BEGINNING } from "../support/device.ts";
import { FaultyFiles } from "../support/faulty-files.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

let faults: FaultyFiles;
let node: TestNode;
let alice: Credentials;
let bob: Credentials;

beforeEach(async () => {
  faults = new FaultyFiles();
  node = await startTestNode({}, { files: faults.files });
  [alice, bob] = (await node.api.users("alice", "bob")) as [Credentials, Credentials];
  await node.api.group(alice, "hikers", ["bob"]);
});
afterEach(async () => {
  faults.release();
  await node.stop();
});

const isReady = async (): Promise<boolean> => (await node.api.call("GET", "/readyz")).status === 200;
const texts = async (who: Credentials, address: string) =>
  (await node.api.history(who, address)).map(({ text }) => text);

describe.each(["EIO", "ENOSPC"])("a write to the log that fails once with %s", (code) => {
  test("is reported to every waiting sender, closes all sockets with 4003, and nothing acked is lost", async () => {
    const [one, two] = [await node.connect(alice), await node.connect(bob)];
    const idle = await node.connect(await node.api.user("bob"));
    await one.say("@bob", "acked before");
    await two.say("#hikers", "acked before");
    faults.failNextWrite(code);
    const refs = ["@bob", "#hikers", "@alice", "@nobody-else"].map((to, n) => one.post(to, `waiting ${n}`, `w-${n}`));
    two.post("@alice", "waiting", "w-0");
    const http = node.api.post("/v1/messages", alice.token, { to: "@bob", text: "by http", ref: "h-0" });
    for (const ref of refs.slice(0, 3)) {
      expect(await one.answerTo(ref)).toMatchObject({
        t: "error",
        ref,
        code: "unavailable",
        retryAfterMs: expect.any(Number),
      });
    }
    expect(await two.answerTo("w-0")).toMatchObject({ code: "unavailable" });
    for (const device of [one, two, idle]) {
      expect((await device.end()).code).toBe(4003);
      expect(device.frames.at(-1)).toMatchObject({ t: "bye", code: 4003, afterMs: expect.any(Number) });
    }
    const answer = await http;
    expect([201, 503]).toContain(answer.status);

    await until("it serves again", isReady);
    expect(await texts(bob, "@alice")).toEqual(["acked before", ...(answer.status === 201 ? ["by http"] : [])]);
    const again = await node.connect(alice);
    expect((await again.say("@bob", "waiting 0", "w-0", true)).duplicate).toBeUndefined();
    expect((await again.say("#hikers", "waiting 1", "w-1", true)).duplicate).toBeUndefined();
    const retried = await node.api.post("/v1/messages", alice.token, { to: "@bob", text: "by http", ref: "h-0" });
    expect(retried.status).toBe(answer.status === 201 ? 200 : 201);
    const direct = await texts(bob, "@alice");
    expect(direct.toSorted()).toEqual(["acked before", "by http", "waiting 0"]);
    expect(await texts(bob, "#hikers")).toEqual(["acked before", "waiting 1"]);
    await node.restart();
    expect(await texts(bob, "@alice")).toEqual(direct);
  });
});

test("a message that reached the disk although its write failed is one message when it is sent again", async () => {
  const device = await node.connect(alice);
  faults.failNextWrite("EIO", { isWritten: true });
  for (const [n, to] of ["@bob", "#hikers"].entries()) device.post(to, `text ${n}`, `r-${n}`);
  expect(await device.answerTo("r-0")).toMatchObject({ code: "unavailable" });
  expect(await device.answerTo("r-1")).toMatchObject({ code: "unavailable" });
  await until("it serves again", isReady);
  const receiver = await node.connect(bob, FROM_THE_BEGINNING);
  await receiver.take("live");
  const again = await node.connect(alice);
  for (const [n, to] of ["@bob", "#hikers"].entries()) {
    const sent = await again.say(to, `text ${n}`, `r-${n}`, true);
    expect(sent.duplicate).toBe(true);
    expect(
      (await receiver.take("message", ({ conversation }) => conversation === (to === "@bob" ? "@alice" : to))).id,
    ).toBe(sent.id);
  }
  expect((await receiver.untaken()).filter(({ t }) => t === "message")).toEqual([]);
});

test('while the log cannot be opened, reads work, writes get "try later" and /readyz says so; afterwards all is served', async () => {
  const waiting = await node.connect(bob);
  const poll = node.api.post("/v1/sync", bob.token, { cursor: FROM_THE_BEGINNING, waitMs: 0 });
  await poll;
  const { body } = await poll;
  const held = node.api.post("/v1/sync", bob.token, { cursor: body.cursor, waitMs: 20_000 });
  await waiting.untaken();
  faults.failNextOpen("EIO");
  faults.failNextWrite("EIO");
  expect((await node.api.post("/v1/messages", alice.token, { to: "@bob", text: "x", ref: "r-1" })).status).toBe(503);
  expect((await held).status).toBe(503);
  expect((await waiting.end()).code).toBe(4003);
  await until("opening has failed", () => faults.failuresMet === 2);

  expect((await node.api.call("GET", "/healthz")).status).toBe(200);
  expect((await node.api.call("GET", "/readyz")).status).toBe(503);
  for (const path of ["/v1/conversations", "/v1/entries", "/v1/groups/hikers"]) {
    expect([path, (await node.api.get(path, alice.token)).status]).toEqual([path, 200]);
  }
  expect((await node.api.post("/v1/sync", alice.token, { cursor: FROM_THE_BEGINNING })).status).toBe(200);
  const writes: [string, unknown?][] = [
    ["/v1/messages", { to: "@bob", text: "x", ref: "r-1" }],
    ["/v1/groups", { id: "swimmers", name: "swimmers", members: [] }],
    ["/v1/logout"],
  ];
  for (const [path, content] of writes) {
    const answer = await node.api.call("POST", path, alice.token, content);
    expect([path, answer.status, answer.body.code]).toEqual([path, 503, "unavailable"]);
    expect(answer.body.retryAfterMs).toBeGreaterThan(0);
  }
  const reading = await node.connect(alice, FROM_THE_BEGINNING);
  expect(await reading.ask("@bob", "x", "r-1")).toMatchObject({
    code: "unavailable",
    retryAfterMs: expect.any(Number),
  });
  expect(await reading.ask("@bob", "x", "r-1", true)).toMatchObject({ code: "unavailable" });

  await until("it serves again", isReady);
  const device = await node.connect(alice);
  expect((await device.say("@bob", "x", "r-1", true)).duplicate).toBeUndefined();
  expect(await texts(bob, "@alice")).toEqual(["x"]);
});

test("if the disk is full when the log is reopened, messages are accepted as soon as there is room", async () => {
  const device = await node.connect(alice);
  await device.say("@bob", "acked before");
  faults.failNextOpen("ENOSPC");
  faults.failNextWrite("ENOSPC");
  expect(await device.ask("@bob", "when there is room", "r-1")).toMatchObject({ code: "unavailable" });
  const again = async () =>
    (await node.api.post("/v1/messages", alice.token, { to: "@bob", text: "when there is room", ref: "r-1" })).status;
  await until("it takes messages again", async () => (await again()) === 201);
  expect(faults.failuresMet).toBe(2);
  expect(await texts(bob, "@alice")).toEqual(["acked before", "when there is room"]);
});

test("accounts and groups whose write failed can be made again", async () => {
  const register = () => node.api.call("POST", "/v1/register", undefined, { user: "carol", password: "correct horse" });
  faults.failNextWrite("EIO");
  expect((await register()).status).toBe(503);
  await until("it serves again", isReady);
  const { status, body: carol } = await register();
  expect(status).toBe(201);
  const create = () =>
    node.api.post("/v1/groups", alice.token, { id: "swimmers", name: "swimmers", members: ["carol"] });
  faults.failNextWrite("EIO");
  expect((await create()).status).toBe(503);
  await until("it serves again", isReady);
  expect((await node.api.get("/v1/entries", carol.token)).body.frames).toEqual([]);
  expect((await create()).status).toBe(201);
  expect((await node.api.get("/v1/entries", carol.token)).body.frames).toMatchObject([
    { t: "membership", change: "joined" },
  ]);
  faults.failNextWrite("EIO");
  expect((await node.api.call("POST", "/v1/logout", carol.token)).status).toBe(503);
  await until("it serves again", isReady);
  expect((await node.api.get("/v1/entries", carol.token)).status).toBe(200);
});

test("marks whose write failed are repeated by the device that comes back with its cursor", async () => {
  const [sender, receiver] = [await node.connect(alice), await node.connect(bob)];
  const sent = await sender.say("@bob", "hello");
  const { seq } = await receiver.take("message");
  faults.failNextWrite("EIO");
  receiver.send({ t: "received", seq });
  await sender.end();
  await until("it serves again", isReady);
  const again = await node.connect(alice);
  expect((await node.api.get("/v1/conversations/%40bob", alice.token)).body.deliveredThrough).toBe(0);
  await node.connect(bob, { epoch: receiver.welcome.epoch, timeline: seq, groups: {} });
  expect(await again.take("receipt")).toMatchObject({ kind: "delivered", seq: sent.seq });
});

test("it fails and recovers again and again, under load, and everybody's history is whole", async () => {
  const acked = new Map<string, string>();
  let retries = 0;
  for (let round = 0; round < 6; round++) {
    const device = await node.connect(alice);
    if (round % 2 === 1) faults.failNextWrite("EIO", { isWritten: round === 3 });
    const sends = Array.from({ length: 40 }, async (_, n) => {
      const answer = await device.ask(n % 2 ? "@bob" : "#hikers", `${round} ${n}`, `${round}-${n}`);
      if (answer.t === "sent") acked.set(`${round}-${n}`, answer.id);
      else retries++;
    });
    await Promise.allSettled(sends);
    if (round % 2 === 1) expect((await device.end()).code).toBe(4003);
    await until("it serves", isReady);
    const again = await node.connect(alice);
    for (let n = 0; n < 40; n++) {
      const sent = await again.say(n % 2 ? "@bob" : "#hikers", `${round} ${n}`, `${round}-${n}`, true);
      if (acked.has(`${round}-${n}`)) expect(sent).toMatchObject({ id: acked.get(`${round}-${n}`)!, duplicate: true });
    }
  }
  expect(retries).toBeGreaterThan(0);
  expect(await texts(bob, "@alice")).toHaveLength(120);
  expect(await texts(bob, "#hikers")).toHaveLength(120);
  expect(new Set(await texts(bob, "@alice")).size).toBe(120);
});

test("a node whose log has failed can be stopped", async () => {
  const device = await node.connect(alice);
  faults.failNextOpen("EIO");
  faults.failNextWrite("EIO");
  expect(await device.ask("@bob", "lost")).toMatchObject({ code: "unavailable" });
  await until("opening has failed", () => faults.failuresMet >= 2);
  await node.restart();
  expect((await (await node.connect(alice)).say("@bob", "after")).seq).toBe(2);
});
