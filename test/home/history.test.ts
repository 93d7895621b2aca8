/** Reading back over HTTP: pages, the list of conversations, routes. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { shardOf, type Address } from "../../src/domain/address.ts";
import type { Device } from "../support/device.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";

/** No two messages fall in one millisecond, so the newest is never a matter of luck. */
let lastMs = 0;
const clock: Clock = { ...systemClock, now: () => (lastMs = Math.max(systemClock.now(), lastMs + 1)) };

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode({}, { clock });
});
afterAll(() => node.stop());

type Page = { seqs: number[]; before?: number; after?: number };

async function page(who: Credentials, address: string, query: string): Promise<Page> {
  const { status, body } = await node.api.get(
    `/v1/conversations/${encodeURIComponent(address)}/messages?${query}`,
    who.token,
  );
  expect(status).toBe(200);
  const { messages, ...ends } = body;
  return { seqs: messages.map(({ seq }: { seq: number }) => seq), ...ends };
}

let people = 0;
async function pair() {
  const [one, other] = await node.api.users(`one${++people}`, `other${people}`);
  return { one: one!, other: other!, device: await node.connect(one!) };
}

async function sayMany(device: Device, to: string, count: number): Promise<number[]> {
  const seqs = [];
  for (let n = 0; n < count; n++) seqs.push((await device.say(to, `text ${n}`)).seq);
  return seqs;
}

describe.each(["from memory", "from segments", "from both"])("a page of a conversation, %s", (where) => {
  let one: Credentials;
  let seqs: number[];
  let to: string;
  beforeAll(async () => {
    const made = await pair();
    one = made.one;
    to = `@${made.other.user}`;
    let { device } = made;
    seqs = [];
    for (let n = 0; n < 10; n++) {
      if (n === 6 && where === "from both") {
        await node.restart();
        device = await node.connect(one);
      }
      seqs.push((await device.say(to, `text ${n}`)).seq);
      // Others in between, so that the numbering has gaps in this conversation.
      await device.say(`@${one.user}`, "a note");
    }
    if (where === "from segments") await node.restart();
    expect(seqs).toEqual([1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
  });

  test("without before and after is the newest", async () => {
    expect(await page(one, to, "limit=3")).toEqual({ seqs: [15, 17, 19], before: 15 });
    expect(await page(one, to, "limit=10")).toEqual({ seqs });
    expect(await page(one, to, "")).toEqual({ seqs });
  });

  test("before a seq ends right below it, whether or not that seq is in the conversation", async () => {
    expect(await page(one, to, "before=15&limit=3")).toEqual({ seqs: [9, 11, 13], before: 9, after: 13 });
    expect(await page(one, to, "before=14&limit=3")).toEqual({ seqs: [9, 11, 13], before: 9, after: 13 });
    expect(await page(one, to, "before=7&limit=3")).toEqual({ seqs: [1, 3, 5], after: 5 });
    expect(await page(one, to, "before=5&limit=3")).toEqual({ seqs: [1, 3], after: 3 });
    expect(await page(one, to, "before=1000000&limit=2")).toEqual({ seqs: [17, 19], before: 17 });
    expect((await page(one, to, "before=1&limit=3")).seqs).toEqual([]);
  });

  test("after a seq begins right above it, and may begin at 0", async () => {
    expect(await page(one, to, "after=0&limit=3")).toEqual({ seqs: [1, 3, 5], after: 5 });
    expect(await page(one, to, "after=5&limit=3")).toEqual({ seqs: [7, 9, 11], before: 7, after: 11 });
    expect(await page(one, to, "after=6&limit=3")).toEqual({ seqs: [7, 9, 11], before: 7, after: 11 });
    expect(await page(one, to, "after=13&limit=3")).toEqual({ seqs: [15, 17, 19], before: 15 });
    expect((await page(one, to, "after=19&limit=3")).seqs).toEqual([]);
  });

  test.each([1, 2, 3, 7, 10, 200])(
    "pages of %i go through all of it in both directions, each message once",
    async (limit) => {
      const forward: number[] = [];
      for (let after: number | undefined = 0; after !== undefined;) {
        const got: Page = await page(one, to, `after=${after}&limit=${limit}`);
        forward.push(...got.seqs);
        after = got.after;
      }
      expect(forward).toEqual(seqs);
      let backward: number[] = [];
      for (let query: string | undefined = ""; query !== undefined;) {
        const got: Page = await page(one, to, `limit=${limit}${query}`);
        backward = [...got.seqs, ...backward];
        query = got.before === undefined ? undefined : `&before=${got.before}`;
      }
      expect(backward).toEqual(seqs);
    },
  );
});

test("a page of a group has its messages in the group's numbering, without its changes", async () => {
  const { one, other, device } = await pair();
  const id = `g-${one.user}`;
  await node.api.group(one, id, [other.user]);
  const first = await sayMany(device, `#${id}`, 3);
  await node.api.call("PATCH", `/v1/groups/${id}`, one.token, { name: "renamed" });
  const second = await sayMany(device, `#${id}`, 2);
  expect([first, second]).toEqual([
    [2, 3, 4],
    [6, 7],
  ]);
  for (const who of [one, other]) {
    expect(await page(who, `#${id}`, "limit=3")).toEqual({ seqs: [4, 6, 7], before: 4 });
    expect(await page(who, `#${id}`, "before=6&limit=2")).toEqual({ seqs: [3, 4], before: 3, after: 4 });
    expect(await page(who, `#${id}`, "after=4")).toEqual({ seqs: [6, 7], before: 6 });
  }
  const mine = await node.api.history(one, `#${id}`);
  const theirs = await node.api.history(other, `#${id}`);
  expect(mine.every(({ ref }) => ref !== undefined)).toBe(true);
  expect(theirs.every(({ ref }) => ref === undefined)).toBe(true);
  expect(theirs.map(({ id }) => id)).toEqual(mine.map(({ id }) => id));
});

test("both sides see the same messages, each in their own numbering; only the author sees refs", async () => {
  const { one, other, device } = await pair();
  const answering = await node.connect(other);
  await device.say(`@${one.user}`, "a note first");
  await device.say(`@${other.user}`, "hello", "my ref");
  await answering.say(`@${one.user}`, "hello yourself", "their ref");
  const mine = await node.api.history(one, `@${other.user}`);
  const theirs = await node.api.history(other, `@${one.user}`);
  expect(mine).toMatchObject([
    { conversation: `@${other.user}`, from: one.user, text: "hello", seq: 2, ref: "my ref" },
    { conversation: `@${other.user}`, from: other.user, text: "hello yourself", seq: 3 },
  ] as object[]);
  expect(theirs.map(({ seq, ref, id }) => ({ seq, ref, id }))).toEqual([
    { seq: 1, ref: undefined, id: mine[0]!.id },
    { seq: 2, ref: "their ref", id: mine[1]!.id },
  ]);
  expect(mine[1]!.ref).toBeUndefined();
});

test("notes to oneself are one message each, told to one's other devices, never unread", async () => {
  const { one, device } = await pair();
  const second = await node.connect(await node.api.user(one.user));
  const sent = await device.say(`@${one.user}`, "milk", "note-1");
  expect(await second.take("message")).toEqual({
    t: "message",
    id: sent.id,
    conversation: `@${one.user}`,
    from: one.user,
    text: "milk",
    seq: 1,
    sentAt: sent.sentAt,
    ref: "note-1",
  });
  expect((await node.api.get("/v1/conversations", one.token)).body.conversations).toMatchObject([
    { conversation: `@${one.user}`, unread: 0, lastSeq: 1, messages: [{ seq: 1, text: "milk", ref: "note-1" }] },
  ]);
  expect(await node.api.history(one, `@${one.user}`)).toHaveLength(1);
  device.send({ t: "received", seq: 1 });
  device.send({ t: "read", conversation: `@${one.user}`, seq: 1 });
  await device.say(`@${one.user}`, "a commit after them");
  expect(device.all("receipt")).toEqual([]);
});

test("a conversation with somebody who is there and silent is empty; with nobody it is unknown", async () => {
  const { one, other } = await pair();
  expect(await page(one, `@${other.user}`, "")).toEqual({ seqs: [] });
  const { body } = await node.api.get(`/v1/conversations/${encodeURIComponent(`@${other.user}`)}`, one.token);
  expect(body).toMatchObject({ conversation: `@${other.user}`, unread: 0, lastSeq: 0, messages: [] });
  expect((await node.api.get("/v1/conversations", one.token)).body.conversations).toEqual([]);
  const nobody = await node.api.get("/v1/conversations/%40nobody-here/messages", one.token);
  expect([nobody.status, nobody.body.code]).toEqual([404, "unknown_address"]);
});

describe("the list of conversations", () => {
  test("is newest first, and pages through all of them once, whatever the page", async () => {
    const { one, device } = await pair();
    const names = Array.from({ length: 7 }, (_, n) => `${one.user}-${n}`);
    await node.api.users(...names);
    const [someone] = await node.api.users(`${one.user}-someone`);
    for (const name of names) await device.say(`@${name}`, "hello");
    await node.api.group(someone!, `${one.user}-g`, [one.user]);
    await device.say(`#${one.user}-g`, "hello");
    await (await node.connect(someone!)).say(`@${one.user}`, "hello");
    await device.say(`@${names[2]!}`, "again");
    const expected = [
      names[2]!,
      `${one.user}-someone`,
      `${one.user}-g`,
      ...names.toReversed().filter((name) => name !== names[2]),
    ];
    const listed = async (limit: number): Promise<string[]> => {
      const found: string[] = [];
      for (let before: string | undefined = ""; before !== undefined;) {
        const query = `limit=${limit}&messages=0${before === "" ? "" : `&before=${encodeURIComponent(before)}`}`;
        const { body }: { body: { conversations: { conversation: string; messages: [] }[]; before?: string } } =
          await node.api.get(`/v1/conversations?${query}`, one.token);
        expect(body.conversations.length).toBeLessThanOrEqual(limit);
        for (const { conversation, messages } of body.conversations) {
          found.push(conversation.slice(1));
          expect(messages).toEqual([]);
        }
        before = body.before;
      }
      return found;
    };
    const all = await listed(200);
    expect(all).toEqual(expected);
    for (const limit of [1, 2, 3, 8]) expect(await listed(limit)).toEqual(all);
    await node.restart();
    expect(await listed(4)).toEqual(all);
    expect((await node.api.get("/v1/conversations?before=nonsense", one.token)).status).toBe(400);
  });

  test("counts what others wrote and I have not read, before and after a restart", async () => {
    const { one, other, device } = await pair();
    const answering = await node.connect(other);
    const mine: number[] = [];
    for (let n = 0; n < 5; n++) {
      await device.say(`@${other.user}`, `from one ${n}`);
      mine.push((await answering.say(`@${one.user}`, `from other ${n}`)).seq);
    }
    const id = `u-${one.user}`;
    await node.api.group(one, id, [other.user]);
    const posted = await sayMany(device, `#${id}`, 4);
    await answering.say(`#${id}`, "my own is not unread");
    const state = async (address: string) => {
      const { body } = await node.api.get(`/v1/conversations/${encodeURIComponent(address)}?messages=2`, other.token);
      return [body.unread, body.ownReadThrough, body.lastSeq, body.messages.length];
    };
    const direct = `@${one.user}`;
    expect([await state(direct), await state(`#${id}`)]).toEqual([
      [5, 0, 10, 2],
      [4, 0, 6, 2],
    ]);
    answering.send({ t: "read", conversation: direct, seq: 5 });
    answering.send({ t: "read", conversation: `#${id}`, seq: posted[1]! });
    await device.take("receipt", ({ kind, conversation }) => kind === "read" && conversation === `#${id}`);
    await answering.untaken();
    expect([await state(direct), await state(`#${id}`)]).toEqual([
      [2, 5, 10, 2],
      [2, 3, 6, 2],
    ]);
    await node.restart();
    expect([await state(direct), await state(`#${id}`)]).toEqual([
      [2, 5, 10, 2],
      [2, 3, 6, 2],
    ]);
    const again = await node.connect(other);
    again.send({ t: "read", conversation: direct, seq: again.welcome.timeline });
    await again.say(`@${other.user}`, "a commit after it");
    expect(await state(direct)).toEqual([0, 10, 10, 2]);
    await (await node.connect(one)).say(`@${other.user}`, "one more");
    expect((await state(direct))[0]).toBe(1);
    expect(mine).toHaveLength(5);
  });

  test("has the names that people chose", async () => {
    const { one, device } = await pair();
    const made = await node.api.call("POST", "/v1/register", undefined, {
      user: `${one.user}-friend`,
      password: "correct horse",
      displayName: "A Friend 🎈",
    });
    expect(made.status).toBe(201);
    await device.say(`@${one.user}-friend`, "hello");
    expect((await node.api.get("/v1/conversations", one.token)).body.conversations[0].name).toBe("A Friend 🎈");
  });
});

test("a route says the shard of an address, this node and its url, for anybody who asks", async () => {
  for (const address of ["@alice", "#ubuntu", "@nobody-here"]) {
    const { status, body } = await node.api.call("GET", `/v1/route/${encodeURIComponent(address)}`);
    expect(status).toBe(200);
    expect(body).toEqual({ shard: shardOf(address as Address), node: "n1", url: node.url });
  }
  expect((await node.api.call("GET", "/v1/route/alice")).status).toBe(400);
});
