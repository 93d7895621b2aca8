/** Erasing a user's content on request: what everybody sees of it afterwards, and that no file has it any more. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { ParleyClient } from "../../src/client/client.ts";
import { MemoryCursorStore } from "../../src/client/cursor-store.ts";
import { eraseMyMessages, myErasure } from "../../src/client/http.ts";
import type { WireMessage } from "../../src/protocol/frames.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { filesWith } from "../storage/files/stored-bytes.ts";
import { FROM_THE_BEGINNING } from "../support/device.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

/** Of no pattern, so that no packing hides it, and cut up, so that it is in no text by chance. */
const word = (of: string): string => `${of}${crypto.randomUUID().replaceAll("-", "")}`;

let node: TestNode;
let ann: Credentials;
let ben: Credentials;
let cat: Credentials;
let refs = 0;

beforeEach(async () => {
  node = await startTestNode();
  [ann, ben, cat] = (await node.api.users("ann", "ben", "cat")) as [Credentials, Credentials, Credentials];
});
afterEach(() => node.stop());

async function say(
  who: Credentials,
  to: string,
  text: string,
  ref = `r-${++refs}`,
): Promise<{ id: string; seq: number }> {
  const { status, body } = await node.api.post("/v1/messages", who.token, { to, text, ref });
  expect([200, 201]).toContain(status);
  return body;
}

async function erase(user: string): Promise<{ entries: number }> {
  const asked = await node.api.keyed("POST", `/v1/users/${user}/erasure`);
  expect(asked.status).toBe(202);
  return erased(user);
}

async function erased(user: string): Promise<{ entries: number }> {
  let status = { state: "", entries: 0 };
  await until(`the content of ${user} is erased`, async () => {
    status = (await node.api.keyed("GET", `/v1/users/${user}/erasure`)).body;
    return status.state === "done";
  });
  return status;
}

const texts = async (who: Credentials, address: string) =>
  (await node.api.history(who, address)).map(({ seq, from, text, deletedAt }) =>
    deletedAt === undefined ? `${seq} ${from} ${text}` : `${seq} gone`,
  );

const filesHaving = (text: string): string[] => filesWith(node.dataDirectory, Buffer.from(text));

test("what a user wrote is gone from everybody's history, what others wrote stays with them, and seqs stay dense", async () => {
  await node.api.group(ann, "club", ["ben", "cat"]);
  await say(ann, "@ben", "a1");
  await say(ben, "@ann", "b1");
  await say(ann, "@ann", "note");
  await say(ann, "#club", "posted by ann");
  await say(ben, "#club", "posted by ben");
  await say(cat, "@ann", "c1");
  const { entries } = await erase("ann");
  // Four in ann's timeline, one with ben, one in the group.
  expect(entries).toBe(6);
  expect(await texts(ann, "@ben")).toEqual(["2 gone", "3 gone"]);
  expect(await texts(ann, "@ann")).toEqual(["4 gone"]);
  expect(await texts(ann, "@cat")).toEqual(["5 gone"]);
  expect(await texts(ben, "@ann")).toEqual(["2 gone", "3 ben b1"]);
  expect(await texts(cat, "@ann")).toEqual(["2 cat c1"]);
  expect(await texts(cat, "#club")).toEqual(["2 gone", "3 ben posted by ben"]);
  await say(ann, "@ben", "a2");
  expect(await texts(ben, "@ann")).toEqual(["2 gone", "3 ben b1", "4 ann a2"]);
});

test("what was written in groups that were left or dissolved is gone as well, and notes to oneself", async () => {
  const own = word("own");
  for (const group of ["left", "dissolved"]) {
    await node.api.group(ben, group, ["ann", "cat"]);
    await say(ann, `#${group}`, `${own} in ${group}`);
    await say(ben, `#${group}`, "by ben");
  }
  await say(ann, "@ann", `${own} as a note`);
  expect((await node.api.call("DELETE", "/v1/groups/left/members/ann", ann.token)).status).toBe(204);
  expect((await node.api.call("DELETE", "/v1/groups/dissolved", ben.token)).status).toBe(204);
  expect((await erase("ann")).entries).toBe(3);
  expect(await texts(ben, "#left")).toEqual(["2 gone", "3 ben by ben"]);
  expect(filesHaving(own)).toEqual([]);
});

test("what was written in a group is gone as well when its id is another group's by then", async () => {
  const own = word("own");
  for (const texts of [`${own} one`, `${own} two`]) {
    await node.api.group(ben, "again", ["ann"]);
    await say(ann, "#again", texts);
    await node.api.call("DELETE", "/v1/groups/again", ben.token);
  }
  await node.api.group(cat, "again", []);
  await say(cat, "#again", "by cat");
  expect((await erase("ann")).entries).toBe(2);
  expect(filesHaving(own)).toEqual([]);
  expect(await texts(cat, "#again")).toEqual(["8 cat by cat"]);
});

test("a tombstone looks the same live, on resume, in a page of entries and after a restart", async () => {
  await say(ann, "@ben", "one");
  await say(ben, "@ann", "two");
  await say(ann, "@ben", "three");
  await erase("ann");
  const look = async () => {
    const device = await node.connect(ben, FROM_THE_BEGINNING);
    await device.take("live");
    const { body } = await node.api.get("/v1/entries?after=0", ben.token);
    expect(device.all("message")).toEqual(body.frames);
    return body.frames;
  };
  const frames = await look();
  const gone = {
    t: "message",
    conversation: "@ann",
    from: "",
    sentAt: 0,
    id: expect.any(String),
    deletedAt: expect.any(Number),
  };
  expect(frames).toEqual([
    { ...gone, seq: 1 },
    expect.objectContaining({ seq: 2, from: "ben", text: "two" }),
    { ...gone, seq: 3 },
  ]);
  expect(frames[0].deletedAt).toBeGreaterThan(1_700_000_000_000);
  expect(new Set(frames.map(({ id }: { id: string }) => id)).size).toBe(3);
  await node.restart();
  expect(await look()).toEqual(frames);
});

test("no file of the log or the segments has erased text, and all that others wrote is there", async () => {
  const [own, toAnn, others] = [word("own"), word("toann"), word("others")];
  await node.api.group(ann, "club", ["ben", "cat"]);
  const write = async (count: number) => {
    for (let i = 0; i < count; i++) {
      await say(ann, i % 2 === 0 ? "@ben" : "#club", `${own} ${i}`);
      await say(ben, "@ann", `${toAnn} ${i}`);
      await say(ben, i % 2 === 0 ? "@cat" : "#club", `${others} ${i}`);
    }
  };
  await write(60);
  await node.restart();
  await write(20);
  expect(filesHaving(own).length).toBeGreaterThan(0);
  expect((await erase("ann")).entries).toBe(40 + 40 + 40 + 80);
  expect(filesHaving(own)).toEqual([]);
  expect(filesHaving(others).length).toBeGreaterThan(0);
  expect(filesHaving(toAnn).length).toBeGreaterThan(0);
  expect((await texts(ben, "@ann")).filter((text) => text.includes(toAnn))).toHaveLength(80);
  expect((await texts(ben, "@ann")).filter((text) => text.endsWith("gone"))).toHaveLength(40);
  expect((await texts(ann, "@ben")).filter((text) => !text.endsWith("gone"))).toEqual([]);
});

test("unread messages that were erased are not unread any more, and reading on counts right", async () => {
  const unread = async () => (await node.api.get("/v1/conversations/%40ann", ben.token)).body.unread;
  for (let i = 1; i <= 5; i++) await say(ann, "@ben", `a${i}`);
  expect(await unread()).toBe(5);
  await erase("ann");
  expect(await unread()).toBe(0);
  for (let i = 6; i <= 8; i++) await say(ann, "@ben", `a${i}`);
  expect(await unread()).toBe(3);
  const device = await node.connect(ben);
  // Among what is gone; then the first of what is left.
  device.send({ t: "read", conversation: "@ann", seq: 4 });
  await device.untaken();
  expect(await unread()).toBe(3);
  device.send({ t: "read", conversation: "@ann", seq: 6 });
  await until("one is read", async () => (await unread()) === 2);
  await node.restart();
  expect(await unread()).toBe(2);
});

test("unread messages of a group are found behind a long run of erased ones", async () => {
  const unread = async () => (await node.api.get("/v1/conversations/%23club", cat.token)).body.unread;
  await node.api.group(ann, "club", ["ben", "cat"]);
  const device = await node.connect(ann);
  for (let i = 0; i < 250; i++) await device.say("#club", `a${i}`);
  await erase("ann");
  expect(await unread()).toBe(0);
  for (let i = 0; i < 3; i++) await say(ben, "#club", `b${i}`);
  expect(await unread()).toBe(3);
});

test("a retry of an erased message is a repeat and brings nothing back (G2)", async () => {
  await node.api.group(ann, "club", ["ben"]);
  const direct = await say(ann, "@ben", "direct", "mine-7");
  const posted = await say(ann, "#club", "posted", "mine 8");
  await erase("ann");
  const again = async () => {
    const repeat = await node.api.post("/v1/messages", ann.token, { to: "@ben", text: "direct", ref: "mine-7" });
    expect(repeat).toMatchObject({ status: 200, body: { id: direct.id, seq: direct.seq, duplicate: true } });
    expect(repeat.body.text).toBeUndefined();
    expect(repeat.body.deletedAt).toBeGreaterThan(0);
    const inGroup = await node.api.post("/v1/messages", ann.token, { to: "#club", text: "posted", ref: "mine 8" });
    expect(inGroup).toMatchObject({ status: 200, body: { id: posted.id, seq: posted.seq, duplicate: true } });
    const elsewhere = await node.api.post("/v1/messages", ann.token, { to: "@cat", text: "direct", ref: "mine-7" });
    expect(elsewhere.body.code).toBe("ref_conflict");
    const device = await node.connect(ann);
    expect(await device.say("@ben", "direct", "mine-7", true)).toMatchObject({ id: direct.id, duplicate: true });
    expect(await texts(ben, "@ann")).toEqual(["2 gone"]);
  };
  await again();
  await node.restart();
  await again();
});

test("the user must name themselves; a repeated request, and one without messages, do no harm", async () => {
  expect((await node.api.get("/v1/me/erasure", ann.token)).body).toEqual({ state: "none" });
  await say(ann, "@ben", "hello");
  const other = await node.api.post("/v1/me/erasure", ann.token, { user: "ben" });
  expect([other.status, other.body.code]).toEqual([403, "forbidden"]);
  const ask = () => node.api.post("/v1/me/erasure", ann.token, { user: "ann" });
  const answers = await Promise.all([ask(), ask(), ask()]);
  for (const { status, body } of answers) {
    expect(status).toBe(202);
    expect(["running", "done"]).toContain(body.state);
  }
  const first = await erased("ann");
  expect(first.entries).toBe(2);
  expect((await node.api.get("/v1/me/erasure", ann.token)).body).toEqual(first);
  const tooSoon = await ask();
  expect([tooSoon.status, tooSoon.body.code]).toEqual([429, "rate_limited"]);
  expect(tooSoon.body.retryAfterMs).toBeLessThanOrEqual(600_000);
  expect((await erase("ann")).entries).toBe(0);
  expect((await erase("cat")).entries).toBe(0);
  const nobody = await node.api.keyed("POST", "/v1/users/nobody/erasure");
  expect([nobody.status, nobody.body.code]).toEqual([404, "unknown_address"]);
  expect((await node.api.call("POST", "/v1/users/ben/erasure", ann.token)).status).toBe(401);
});

test("messages go on meanwhile, and what was sent after the request stays", async () => {
  for (let i = 0; i < 300; i++) await say(ann, "@ben", `before ${i}`);
  const asked = await node.api.keyed("POST", "/v1/users/ann/erasure");
  expect(asked.status).toBe(202);
  const after: string[] = [];
  let isDone = false;
  const done = erased("ann").then(() => (isDone = true));
  while (!isDone) {
    after.push(`after ${after.length}`);
    await say(ann, "@ben", after.at(-1)!);
  }
  await done;
  const left = await node.api.history(ben, "@ann");
  expect(left.map(({ seq }) => seq)).toEqual(left.map((_, at) => at + 1));
  expect(left.filter(({ deletedAt }) => deletedAt !== undefined)).toHaveLength(300);
  expect(left.filter(({ deletedAt }) => deletedAt === undefined).map(({ text }) => text)).toEqual(after);
});

test("a server that is stopped during an erasure stops at once, and continues it at the next start", async () => {
  const own = word("own");
  for (let i = 0; i < 400; i++) await say(ann, i % 2 === 0 ? "@ben" : "@cat", `${own} ${i}`);
  expect((await node.api.keyed("POST", "/v1/users/ann/erasure")).status).toBe(202);
  for (let stops = 0; stops < 4; stops++) await node.restart();
  expect((await erased("ann")).entries).toBe(800);
  expect(filesHaving(own)).toEqual([]);
});

test.each(["socket", "poll"] as const)(
  "the SDK hands tombstones over in their places, once, over a %s, and asks for erasures",
  async (transport) => {
    await node.api.group(ann, "club", ["ben"]);
    for (let i = 0; i < 5; i++) {
      await say(ann, "@ben", `a${i}`);
      await say(ben, "@ann", `b${i}`);
      await say(ann, "#club", `c${i}`);
    }
    const server = { url: node.url, token: ann.token };
    await eraseMyMessages(server, "ann");
    await until("it is done", async () => (await myErasure(server)).state === "done");
    await say(ann, "@ben", "new");
    const got: WireMessage[] = [];
    const client = new ParleyClient({
      url: node.url,
      token: ben.token,
      from: "start",
      transport,
      cursorStore: new MemoryCursorStore(),
      onMessage: (message) => void got.push(message),
    });
    await client.connect();
    await until("all of it is here", () => got.length === 16);
    await client.close();
    const inTimeline = got.filter(({ conversation }) => conversation === "@ann");
    expect(inTimeline.map(({ seq, text }) => `${seq} ${text ?? "gone"}`)).toEqual([
      ...[0, 1, 2, 3, 4].flatMap((i) => [`${2 + 2 * i} gone`, `${3 + 2 * i} b${i}`]),
      "12 new",
    ]);
    expect(got.filter(({ conversation }) => conversation === "#club").map(({ seq, text }) => [seq, text])).toEqual(
      [2, 3, 4, 5, 6].map((seq) => [seq, undefined]),
    );
  },
);
