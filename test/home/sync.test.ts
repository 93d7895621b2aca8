/** Long poll: what a socket would have got, for those who cannot have one. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import type { Cursor } from "../../src/protocol/frames.ts";
import { FROM_THE_BEGINNING, type Device } from "../support/device.ts";
import type { Answer } from "../support/api.ts";
import { until, within } from "../support/wait.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode({ groupReceiptsMembersMax: 8 });
});
afterAll(() => node.stop());

let people = 0;
async function pair() {
  const [one, other] = await node.api.users(`one${++people}`, `other${people}`);
  return { one: one!, other: other!, device: await node.connect(one!) };
}

const sync = (who: Credentials, cursor: Cursor, waitMs = 0, signal?: AbortSignal): Promise<Answer> =>
  node.api.call("POST", "/v1/sync", who.token, { cursor, waitMs }, signal);
const upToDate = async (who: Credentials): Promise<Cursor> => (await sync(who, FROM_THE_BEGINNING)).body.cursor;

/** A poll that waits: a call made after it, on a connection made after its, has been answered. */
async function waiting(
  who: Credentials,
  cursor: Cursor,
  device: Device,
  waitMs = 20_000,
): Promise<{ answer: Promise<Answer> }> {
  const answer = sync(who, cursor, waitMs);
  for (let n = 0; n < 2; n++) expect((await node.api.call("GET", "/healthz")).status).toBe(200);
  await device.untaken();
  return { answer };
}

test("without anything new it answers empty after waitMs, not before", async () => {
  const { other } = await pair();
  const cursor = await upToDate(other);
  const startedAt = performance.now();
  const { status, body } = await sync(other, cursor, 300);
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(295);
  expect([status, body]).toEqual([200, { frames: [], cursor, more: false }]);
  const answer = node.api.post("/v1/sync", other.token, { cursor });
  expect((await within("an answer that waits for nothing", answer, 10_000)).body.frames).toEqual([]);
});

test("it wakes for a direct message, a group's message, a membership, a change of a group and a receipt", async () => {
  const { one, other, device } = await pair();
  let cursor = await upToDate(other);
  const wakesFor = async (cause: () => Promise<unknown>, frames: object[]) => {
    const { answer } = await waiting(other, cursor, device);
    await cause();
    const { body } = await answer;
    expect(body.frames).toMatchObject(frames);
    expect(body.frames).toHaveLength(frames.length);
    expect(body.more).toBe(false);
    ({ cursor } = body);
  };
  const id = `g-${one.user}`;
  await wakesFor(() => device.say(`@${other.user}`, "hello"), [{ t: "message", text: "hello", seq: 1 }]);
  await wakesFor(
    () => node.api.group(one, id, [other.user]),
    [
      { t: "membership", seq: 2, change: "joined" },
      { t: "group", seq: 1, change: "created" },
    ],
  );
  await wakesFor(() => device.say(`#${id}`, "to all"), [{ t: "message", conversation: `#${id}`, seq: 2 }]);
  await wakesFor(
    () => node.api.call("PATCH", `/v1/groups/${id}`, one.token, { name: "new" }),
    [{ t: "group", change: "renamed" }],
  );
  const byOther = await node.api.post("/v1/messages", other.token, { to: `@${one.user}`, text: "back", ref: "r-1" });
  const posted = await node.api.post("/v1/messages", other.token, { to: `#${id}`, text: "back", ref: "r-2" });
  ({ cursor } = (await sync(other, cursor)).body);
  await device.takeMany("message", 2);
  await wakesFor(
    async () => device.send({ t: "received", seq: device.all("message")[0]!.seq }),
    [{ t: "receipt", kind: "delivered", seq: byOther.body.seq, mark: 1 }],
  );
  await wakesFor(
    async () => device.send({ t: "received", conversation: `#${id}`, seq: posted.body.seq }),
    [{ t: "receipt", kind: "delivered", conversation: `#${id}`, by: one.user, seq: posted.body.seq }],
  );
  expect(cursor).toMatchObject({ timeline: 3, groups: { [`#${id}`]: { seq: posted.body.seq } }, marks: 1 });
});

test("what came between two polls comes with the second at once", async () => {
  const { other, device } = await pair();
  const cursor = await upToDate(other);
  for (let n = 0; n < 3; n++) await device.say(`@${other.user}`, `text ${n}`);
  const { body } = await sync(other, cursor, 20_000);
  expect(body.frames.map(({ text }: { text: string }) => text)).toEqual(["text 0", "text 1", "text 2"]);
});

test("a reply that was lost comes again: the server keeps nothing between two calls", async () => {
  const { other, device } = await pair();
  const cursor = await upToDate(other);
  await device.say(`@${other.user}`, "hello");
  const [first, second] = [await sync(other, cursor), await sync(other, cursor)];
  expect(second.body).toEqual(first.body);
  expect((await sync(other, first.body.cursor)).body.frames).toEqual([]);
});

test("much comes in pages that say there is more, each entry once and in order", async () => {
  const { other, device } = await pair();
  for (let n = 0; n < 900; n++) device.post(`@${other.user}`, `text ${n}`);
  await device.takeMany("sent", 900);
  const seqs: number[] = [];
  let pages = 0;
  for (let cursor: Cursor = FROM_THE_BEGINNING, more = true; more; pages++) {
    const { body } = await sync(other, cursor);
    seqs.push(...body.frames.map(({ seq }: { seq: number }) => seq));
    ({ cursor, more } = body);
    expect(cursor.timeline).toBe(seqs.length);
  }
  expect(pages).toBeGreaterThan(1);
  expect(seqs).toEqual(Array.from({ length: 900 }, (_, index) => index + 1));
});

test("large messages come in pages as well", async () => {
  const { other, device } = await pair();
  for (let n = 0; n < 200; n++) device.post(`@${other.user}`, "x".repeat(16_000));
  await device.takeMany("sent", 200);
  const { body } = await sync(other, FROM_THE_BEGINNING);
  expect(body.more).toBe(true);
  expect(body.frames.length).toBeGreaterThan(10);
  expect(body.frames.length).toBeLessThan(200);
});

test("two polls of one device, and of two devices, at once are both answered", async () => {
  const { other, device } = await pair();
  const second = await node.api.user(other.user);
  const cursor = await upToDate(other);
  const polls = await Promise.all([other, other, second].map((who) => waiting(who, cursor, device)));
  await device.say(`@${other.user}`, "to all of you");
  for (const { answer } of polls) expect((await answer).body.frames).toMatchObject([{ text: "to all of you" }]);
});

test("a poll and a socket of one device both get everything", async () => {
  const { other, device } = await pair();
  const socket = await node.connect(other);
  const { answer } = await waiting(other, await upToDate(other), device);
  await device.say(`@${other.user}`, "to both");
  expect((await answer).body.frames).toMatchObject([{ text: "to both" }]);
  expect((await socket.take("message")).text).toBe("to both");
});

test("a poll whose caller has gone leaves nothing behind", async () => {
  const { other, device } = await pair();
  const cursor = await upToDate(other);
  const aborts = Array.from({ length: 140 }, () => new AbortController());
  // More than may wait at once, in two goes.
  for (const half of [aborts.slice(0, 70), aborts.slice(70)]) {
    const polls = half.map(({ signal }) => sync(other, cursor, 20_000, signal).catch(() => "gone"));
    await device.untaken();
    for (const abort of half) abort.abort();
    expect(new Set(await Promise.all(polls))).toEqual(new Set(["gone"]));
  }
  const { answer } = await waiting(other, cursor, device);
  await device.say(`@${other.user}`, "still served");
  expect((await answer).body.frames).toMatchObject([{ text: "still served" }]);
});

test("a poll whose request was freed while it waits still ends when its caller goes, and when an entry comes", async () => {
  const { other, device } = await pair();
  const cursor = await upToDate(other);
  const gone = Array.from({ length: 128 }, () => new AbortController());
  const polls = gone.map(({ signal }) => sync(other, cursor, 60_000, signal).catch(() => "gone"));
  await device.untaken();
  await until("as many wait as may", async () => (await sync(other, cursor, 1)).status === 429);
  Bun.gc(true);
  for (const abort of gone) abort.abort();
  await Promise.all(polls);
  await until("their places are free", async () => (await sync(other, cursor, 1)).status === 200);
  const { answer } = await waiting(other, cursor, device);
  Bun.gc(true);
  await device.say(`@${other.user}`, "still there");
  expect((await answer).body.frames).toMatchObject([{ text: "still there" }]);
});

test("logout ends a waiting poll with 401, of that device alone", async () => {
  const { other, device } = await pair();
  const second = await node.api.user(other.user);
  const cursor = await upToDate(other);
  const [ends, stays] = await Promise.all([other, second].map((who) => waiting(who, cursor, device)));
  await node.api.call("POST", "/v1/logout", other.token);
  const { status, body } = await ends!.answer;
  expect([status, body.code]).toEqual([401, "unauthorized"]);
  await device.say(`@${other.user}`, "hello");
  expect((await stays!.answer).body.frames).toMatchObject([{ text: "hello" }]);
});

test("a drain ends a waiting poll with 503 and the time to come back", async () => {
  const { other, device } = await pair();
  const { answer } = await waiting(other, await upToDate(other), device);
  await node.restart();
  const { status, body } = await answer;
  expect([status, body.code]).toEqual([503, "unavailable"]);
  expect(body.retryAfterMs).toBeGreaterThan(0);
});
