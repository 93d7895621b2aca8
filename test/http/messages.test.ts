import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Cursor } from "../../src/protocol/frames.ts";
import { until } from "../support/wait.ts";
import { startHttpServer, type HttpServer } from "./http-server.ts";
import { CONVERSATION, MESSAGE } from "./scripted-services.ts";

let server: HttpServer;
let token = "";
beforeAll(async () => {
  server = await startHttpServer({ limits: { textBytesMax: 100 } });
  ({ token } = await server.user());
});
beforeEach(() => {
  server.script.asked.length = 0;
});
afterAll(() => server.stop());

const get = (path: string) => server.call("GET", path, { token });
const post = (path: string, body: unknown) => server.call("POST", path, { token, body });
const send = (body: unknown) => post("/v1/messages", body);

describe("POST /v1/messages", () => {
  test("answers 201 with the message, and hands it on as a marked send", async () => {
    const { status, body } = await send({ to: "@bob", text: "hello", ref: "r1" });
    expect([status, body]).toEqual([201, MESSAGE]);
    expect(server.script.asked).toEqual([["send", { to: "@bob", text: "hello", ref: "r1", retry: true }]]);
  });

  test("answers 200 with duplicate when the ref was sent before", async () => {
    await send({ to: "@bob", text: "hello", ref: "r1" });
    const { status, body } = await send({ to: "@bob", text: "hello", ref: "r1" });
    expect([status, body]).toEqual([200, { ...MESSAGE, duplicate: true }]);
  });

  test.each([
    [{ text: "x", ref: "r" }, "to: missing"],
    [{ to: "bob", text: "x", ref: "r" }, `to: "bob" is not @user or #group`],
    [{ to: "@Bob", text: "x", ref: "r" }, "to: "],
    [{ to: "@bob\n", text: "x", ref: "r" }, "to: "],
    [{ to: "@bob", ref: "r" }, "text: missing"],
    [{ to: "@bob", text: "", ref: "r" }, "text: must not be empty"],
    [{ to: "@bob", text: 5, ref: "r" }, "text: expected a string, got a number"],
    [{ to: "@bob", text: ["x"], ref: "r" }, "text: expected a string, got a list"],
    [{ to: "@bob", text: "a\ud800b", ref: "r" }, "text: has a lone surrogate"],
    [{ to: "@bob", text: "x" }, "ref: missing"],
    [{ to: "@bob", text: "x", ref: "" }, "ref: "],
    [{ to: "@bob", text: "x", ref: "r".repeat(65) }, "ref: "],
    [{ to: "@bob", text: "x", ref: "é" }, "ref: "],
    [{ to: "@bob", text: "x", ref: "a\tb" }, "ref: "],
    ['{"to":"@bob","text":"x","ref":1e999}', "ref: expected a string, got a number"],
    [`{"to":${"[".repeat(20_000)}${"]".repeat(20_000)},"text":"x","ref":"r"}`, "to: expected a string, got a list"],
  ])("refuses %.60j and says why", async (body, detail) => {
    const answer = await send(body);
    expect([answer.status, answer.body.code]).toEqual([400, "bad_request"]);
    expect(answer.body.detail).toStartWith(detail);
    expect(server.script.asked).toEqual([]);
  });

  test("counts the text in bytes of UTF-8: the limit is taken, one more is 413 too_large", async () => {
    expect((await send({ to: "@bob", text: "é".repeat(50), ref: "r" })).status).toBe(201);
    const { status, body } = await send({ to: "@bob", text: `${"é".repeat(50)}!`, ref: "r" });
    expect([status, body.code, body.detail]).toEqual([413, "too_large", "text: 101 bytes, the most is 100"]);
  });

  test("hands the text on untouched, whatever script it is in", async () => {
    const text = "\u{1F469}\u200D\u{1F680} \u05E9\u05DC\u05D5\u05DD\r\n\t\u202E<b>\0\u0001\uFFFF";
    await send({ to: "#ubuntu", text, ref: " ~" });
    expect(server.script.asked).toEqual([["send", { to: "#ubuntu", text, ref: " ~", retry: true }]]);
  });
});

describe("GET /v1/conversations", () => {
  test("asks for 5 with 15 messages each unless told otherwise; empty parameters are none", async () => {
    expect((await get("/v1/conversations")).body).toEqual({ conversations: [CONVERSATION], before: "mark" });
    await get("/v1/conversations?limit=200&messages=0&before=abc");
    await get("/v1/conversations?limit=&messages=&before=");
    expect(server.script.asked).toEqual([
      ["conversations", { limit: 5, messages: 15 }],
      ["conversations", { limit: 200, messages: 0, before: "abc" }],
      ["conversations", { limit: 5, messages: 15 }],
    ]);
  });

  test.each([
    ["limit=201", "limit: 201 is above the maximum 200"],
    ["limit=0", "limit: 0 is below the minimum 1"],
    ["limit=-5", "limit: -5 is below the minimum 1"],
    ["limit=NaN", `limit: expected a whole number, got "NaN"`],
    ["limit=1e2", "limit: expected a whole number"],
    ["limit=0x10", "limit: expected a whole number"],
    ["limit=1.5", "limit: expected a whole number"],
    ["limit=%2010", "limit: expected a whole number"],
    ["limit=99999999999999999999", "limit: expected a whole number"],
    ["limit=5&limit=6", "limit: given more than once"],
    ["messages=201", "messages: 201 is above the maximum 200"],
    ["limit=200&messages=200", "limit, messages: 40000 messages in all, at most 3000"],
    [`before=${"x".repeat(200)}`, "before: not a value that a page gave"],
    ["before=%", "url: malformed percent-encoding"],
    ["before=%C3%28", "url: malformed percent-encoding"],
  ])("refuses ?%s and says why", async (query, detail) => {
    const { status, body } = await get(`/v1/conversations?${query}`);
    expect([status, body.code]).toEqual([400, "bad_request"]);
    expect(body.detail).toStartWith(detail);
  });
});

describe("conversation paths", () => {
  test("GET /v1/conversations/{address} takes the address encoded or, for users, plain", async () => {
    expect((await get("/v1/conversations/%40bob")).body).toEqual(CONVERSATION);
    await get("/v1/conversations/@bob?messages=3");
    await get("/v1/conversations/%23ubuntu");
    expect(server.script.asked).toEqual([
      ["conversation", "@bob", 15],
      ["conversation", "@bob", 3],
      ["conversation", "#ubuntu", 15],
    ]);
  });

  test("GET …/messages pages back, forth, and from the end", async () => {
    expect((await get("/v1/conversations/%23ubuntu/messages")).body).toEqual({
      messages: [MESSAGE],
      before: 1,
      after: 1,
    });
    await get("/v1/conversations/@bob/messages?before=10&after=&limit=200");
    await get("/v1/conversations/@bob/messages?after=0");
    expect(server.script.asked).toEqual([
      ["page", "#ubuntu", { limit: 30 }],
      ["page", "@bob", { before: 10, limit: 200 }],
      ["page", "@bob", { after: 0, limit: 30 }],
    ]);
  });

  test.each([
    ["/v1/conversations/bob/messages", "address: "],
    ["/v1/conversations/%2540bob/messages", "address: "],
    ["/v1/conversations/%40bob%2F..%2Fx", "address: "],
    ["/v1/conversations/%40%00/messages", "address: "],
    ["/v1/conversations/%zz/messages", "url: malformed percent-encoding"],
    ["/v1/conversations/%C0%AF/messages", "url: malformed percent-encoding"],
    ["/v1/conversations/@bob/messages?limit=201", "limit: 201 is above the maximum 200"],
    ["/v1/conversations/@bob/messages?before=0", "before: 0 is below the minimum 1"],
    ["/v1/conversations/@bob/messages?after=-1", "after: -1 is below the minimum 0"],
    ["/v1/conversations/@bob/messages?before=9007199254740993", "before: 9007199254740993 is above"],
    ["/v1/conversations/@bob/messages?before=5&after=1", "before, after: a page goes one way"],
  ])("%s is 400 bad_request", async (path, detail) => {
    const { status, body } = await get(path);
    expect([status, body.code]).toEqual([400, "bad_request"]);
    expect(body.detail).toStartWith(detail);
    expect(server.script.asked).toEqual([]);
  });
});

describe("GET /v1/entries", () => {
  test("gives my timeline, or a group's log, from a seq on", async () => {
    expect((await get("/v1/entries")).body).toMatchObject({ after: 2, more: false });
    await get("/v1/entries?conversation=%23ubuntu&after=7&limit=1");
    expect(server.script.asked).toEqual([
      ["entries", { after: 0, limit: 200 }],
      ["entries", { conversation: "#ubuntu", after: 7, limit: 1 }],
    ]);
  });

  test.each(["conversation=%40bob", "conversation=ubuntu", "limit=500", "after=x"])("refuses ?%s", async (query) => {
    expect((await get(`/v1/entries?${query}`)).body.code).toBe("bad_request");
  });
});

describe("POST /v1/sync", () => {
  const cursor: Cursor = { epoch: "e", timeline: 3, groups: { "#ubuntu": { epoch: "g", seq: 2 } }, marks: 1 };

  test("hands on the cursor and gives frames", async () => {
    const { status, body } = await post("/v1/sync", { cursor, waitMs: 0 });
    expect([status, body.cursor, body.frames.length]).toEqual([200, cursor, 3]);
    expect(server.script.asked).toEqual([["poll", cursor, 0]]);
  });

  test("does not wait unless told to, and takes a cursor of a device that has nothing", async () => {
    const empty = { epoch: "", timeline: 0, groups: {} };
    expect((await post("/v1/sync", { cursor: empty })).body.cursor).toEqual(empty);
    expect((await post("/v1/sync", { cursor: { epoch: "", timeline: 0 } })).body.cursor).toEqual(empty);
    expect(server.script.asked.map((asked) => asked[2])).toEqual([0, 0]);
  });

  test.each([
    [{ waitMs: 0 }, "cursor: missing, expected an object"],
    [{ cursor, waitMs: 60_001 }, "waitMs: 60001 is above the maximum 60000"],
    [{ cursor, waitMs: -1 }, "waitMs: -1 is below the minimum 0"],
    [{ cursor, waitMs: 0.5 }, "waitMs: expected a whole number, got a number"],
    [{ cursor, waitMs: "1" }, "waitMs: expected a number, got a string"],
    [{ cursor: { ...cursor, timeline: -1 } }, "cursor.timeline: -1 is below the minimum 0"],
    [{ cursor: { ...cursor, epoch: 5 } }, "cursor.epoch: expected a string"],
    [{ cursor: { ...cursor, groups: [] } }, "cursor.groups: expected an object, got a list"],
    [
      { cursor: { ...cursor, groups: { ubuntu: { epoch: "g", seq: 2 } } } },
      `cursor.groups.ubuntu: "ubuntu" is not #group`,
    ],
    [{ cursor: { ...cursor, groups: { "#ubuntu": { epoch: "g" } } } }, "cursor.groups.#ubuntu.seq: missing"],
  ])("refuses %j and says why", async (body, detail) => {
    const answer = await post("/v1/sync", body);
    expect([answer.status, answer.body.code]).toEqual([400, "bad_request"]);
    expect(answer.body.detail).toStartWith(detail);
  });

  test("keys that would reach a prototype reach nothing", async () => {
    const body =
      '{"cursor":{"epoch":"e","timeline":0,"groups":{"__proto__":{"epoch":"x","seq":1}},"__proto__":{"marks":9}}}';
    const answer = await post("/v1/sync", body);
    expect(answer.body.cursor).toEqual({ epoch: "e", timeline: 0, groups: {} });
    expect(({} as { seq?: number; marks?: number }).seq).toBeUndefined();
  });

  test("a client that goes away ends its poll", async () => {
    const gone = new AbortController();
    const request = fetch(`${server.url}/v1/sync`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ cursor, waitMs: 60_000 }),
      signal: gone.signal,
    });
    server.script.poll.signal = undefined;
    await until("the poll waits", () => server.script.poll.signal !== undefined);
    const signal = server.script.poll.signal!;
    const ended = new Promise((resolve) => signal.addEventListener("abort", resolve));
    gone.abort();
    await expect(request).rejects.toThrow();
    await ended;
  });
});
