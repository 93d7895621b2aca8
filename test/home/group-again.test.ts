/** A group that nobody is in any more is over: anybody may create a group of that id anew, which has nothing to do with it. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { ParleyClient, type ClientEvent } from "../../src/client/client.ts";
import { MemoryCursorStore } from "../../src/client/cursor-store.ts";
import type { Credentials, Group } from "../../src/protocol/http-shapes.ts";
import type { Cursor, ServerFrame } from "../../src/protocol/frames.ts";
import { FROM_THE_BEGINNING } from "../support/device.ts";
import { FaultyFiles } from "../support/faulty-files.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

const faults = new FaultyFiles();
let node: TestNode;
let ann: Credentials;
let ben: Credentials;
let cat: Credentials;
let id: string;
let former: Group;
let round = 0;

beforeAll(async () => {
  node = await startTestNode({}, { files: faults.files });
  [ann, ben, cat] = (await node.api.users("ann", "ben", "cat")) as [Credentials, Credentials, Credentials];
});
afterAll(() => node.stop());
beforeEach(async () => {
  id = `g${++round}`;
  former = await node.api.group(ann, id, ["ben"]);
});

const call = (method: string, who: Credentials, path = "", body?: unknown) =>
  node.api.call(method, `/v1/groups/${id}${path}`, who.token, body);
const create = (who: Credentials, members: string[] = []) =>
  node.api.post("/v1/groups", who.token, { id, name: "again", members });
const dissolve = () => call("DELETE", ann);
const leave = (who: Credentials) => call("DELETE", who, `/members/${who.user}`);
let refs = 0;
const say = async (who: Credentials, text: string): Promise<number> => {
  const { status, body } = await node.api.post("/v1/messages", who.token, { to: `#${id}`, text, ref: `r-${++refs}` });
  expect(status).toBe(201);
  return body.seq;
};
const texts = async (who: Credentials) => (await node.api.history(who, `#${id}`)).map(({ text }) => text);
const sync = async (who: Credentials, cursor: Cursor): Promise<ServerFrame[]> =>
  (await node.api.post("/v1/sync", who.token, { cursor, waitMs: 0 })).body.frames;
const told = (frames: ServerFrame[]) =>
  frames.filter((frame) => "conversation" in frame && frame.conversation === `#${id}`);

const ends: [string, () => Promise<void>][] = [
  ["was dissolved", async () => void (await dissolve())],
  ["everybody has left", async () => void (await leave(ben), await leave(ann))],
];

describe.each(ends)("an id of a group that %s", (_, end) => {
  test("can be used by anybody, who sees nothing of the former group, also after a restart", async () => {
    const last = await say(ben, "of the former group");
    await call("PATCH", ann, "", { keepDays: 7 });
    await end();
    const { status, body } = await create(cat);
    expect(status).toBe(201);
    expect(body).toMatchObject({ id, name: "again", members: [{ user: "cat", role: "admin" }] });
    expect(body.keepDays).toBeUndefined();
    expect(body.head.epoch).not.toBe(former.head.epoch);
    expect(body.head.seq).toBeGreaterThan(last);
    const expectNew = async (): Promise<void> => {
      expect(await texts(cat)).toEqual(["of the new one"]);
      const { frames } = (await node.api.get(`/v1/entries?conversation=%23${id}&after=0`, cat.token)).body;
      expect(frames).toMatchObject([
        { t: "group", change: "created", seq: body.head.seq, epoch: body.head.epoch, members: ["cat"] },
        { t: "message", text: "of the new one" },
      ]);
      expect((await call("GET", cat)).body.keepDays).toBeUndefined();
    };
    await say(cat, "of the new one");
    await expectNew();
    await node.restart();
    await expectNew();
  });

  test("and who was in the former group is a stranger to the new one", async () => {
    await say(ben, "hello");
    await end();
    expect((await create(cat)).status).toBe(201);
    for (const asked of [
      call("GET", ben),
      call("PATCH", ben, "", { name: "mine" }),
      call("DELETE", ben),
      call("PUT", ben, "/members/ben", {}),
      leave(ben),
      node.api.get(`/v1/conversations/%23${id}`, ben.token),
      node.api.get(`/v1/conversations/%23${id}/messages`, ben.token),
      node.api.get(`/v1/entries?conversation=%23${id}`, ben.token),
      node.api.post("/v1/messages", ben.token, { to: `#${id}`, text: "x", ref: `stranger-${round}` }),
    ]) {
      const { status, body } = await asked;
      expect([status, body.code, body.detail]).toEqual([404, "unknown_address", `#${id}: there is no such group`]);
    }
    expect(told(await sync(ben, FROM_THE_BEGINNING)).filter(({ t }) => t !== "membership")).toEqual([]);
    expect((await call("PUT", cat, "/members/ben", {})).status).toBe(204);
    expect(await texts(ben)).toEqual([]);
  });
});

test("who left the former group by their own doing can be put into the new one", async () => {
  await leave(ben);
  await dissolve();
  expect((await create(cat, ["ben"])).status).toBe(201);
});

test("while somebody is in it, or the last one is just leaving, its id is taken", async () => {
  await leave(ben);
  expect((await create(cat)).body.code).toBe("group_taken");
  faults.hold();
  try {
    const leaving = leave(ann);
    await faults.held();
    expect((await create(cat)).body.code).toBe("group_taken");
    faults.release();
    expect((await leaving).status).toBe(204);
  } finally {
    faults.release();
  }
  expect((await create(cat)).status).toBe(201);
});

test("no made-up page of the list of conversations tells when something was said in the former group", async () => {
  const list = async (before = ""): Promise<string[]> =>
    ((await node.api.get(`/v1/conversations?limit=1&before=${before}`, cat.token)).body.before ?? "").split(".");
  await node.api.post("/v1/messages", cat.token, { to: "@cat", text: "an old note", ref: "note" });
  await say(ann, "of the former group");
  await dissolve();
  const born = (await create(ann, ["cat"])).body.createdAt;
  const [head, , top, , address] = await list();
  expect(address).toBe(`#${id}`);
  for (let rank = Number(top) - 1, n = 0; n < 10; n++) {
    const [, , told, , at] = await list(encodeURIComponent(`${head}.${rank}.${top}.0.#zzz`));
    if (at === undefined) break;
    if (at === address) expect([0, born]).toContain(Math.floor(Number(told) / 256));
    rank = Number(told) - 1;
  }
});

test("of all who use it at the same moment one gets it", async () => {
  await dissolve();
  const answers = await Promise.all([ann, ben, cat, ann].map((who) => create(who)));
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 409, 409, 409]);
});

describe("a device of the former group", () => {
  const cursorOf = async (who: Credentials): Promise<Cursor> => {
    const { body } = await node.api.post("/v1/sync", who.token, { cursor: FROM_THE_BEGINNING, waitMs: 0 });
    expect(body.more).toBe(false);
    return body.cursor;
  };

  test("that comes back is told that the user left it and joined another, and begins there", async () => {
    const cursor = await cursorOf(ben);
    await dissolve();
    const { head } = (await create(cat, ["ben"])).body;
    await say(cat, "welcome");
    expect(told(await sync(ben, cursor))).toMatchObject([
      { t: "membership", change: "left", epoch: "" },
      { t: "membership", change: "joined", groupSeq: head.seq, epoch: head.epoch },
      { t: "group", change: "created", seq: head.seq, epoch: head.epoch },
      { t: "message", text: "welcome", seq: head.seq + 1 },
    ]);
  });

  test("that knows of the new one and has nothing of it is told to begin anew, and no hole is left", async () => {
    const { groups } = await cursorOf(ben);
    await dissolve();
    const { head } = (await create(cat, ["ben"])).body;
    const { epoch, timeline, marks } = await cursorOf(ben);
    const old = groups[`#${id}`]!;
    for (const position of [old, { ...old, seq: 0 }, { epoch: "", seq: 0 }, { epoch: head.epoch, seq: 0 }]) {
      const cursor: Cursor = { epoch, timeline, marks: marks ?? 0, groups: { [`#${id}`]: position } };
      expect(told(await sync(ben, cursor))).toEqual([{ t: "reset", conversation: `#${id}` }]);
    }
  });

  test("that is connected hears of the new one, with its epoch, and goes on without a hole", async () => {
    const device = await node.connect(ben);
    await dissolve();
    const { head } = (await create(ben)).body;
    const seq = await say(ben, "mine now");
    const created = await device.take("group", ({ change }) => change === "created");
    expect(created).toMatchObject({ seq: head.seq, epoch: head.epoch });
    expect(await device.take("membership", ({ change }) => change === "joined")).toMatchObject({
      groupSeq: head.seq,
      epoch: head.epoch,
    });
    expect(await device.take("message", ({ text }) => text === "mine now")).toMatchObject({ seq });
  });
});

describe.each(["socket", "poll"] as const)("the SDK, by %s,", (transport) => {
  type Heard = { client: ParleyClient; texts: string[]; events: ClientEvent[] };
  const cursorStore = new Map<string, MemoryCursorStore>();

  async function listen(who: Credentials, from: "now" | "start", name: string): Promise<Heard> {
    const heard: Omit<Heard, "client"> = { texts: [], events: [] };
    const store = cursorStore.get(name) ?? new MemoryCursorStore();
    cursorStore.set(name, store);
    const client = new ParleyClient({
      url: node.url,
      token: who.token,
      from,
      transport,
      cursorStore: store,
      onMessage: ({ conversation, text }) => void (conversation === `#${id}` && heard.texts.push(text ?? "")),
      onEvent: (event) => void heard.events.push(event),
    });
    await client.connect();
    return { client, ...heard };
  }

  const kinds = ({ events }: Heard) => events.map(({ type }) => type);

  test("hands over what was said in both groups, once and without a break, to who was in both", async () => {
    const live = await listen(ben, "now", `live ${transport}`);
    await say(ann, "one");
    await until("it is heard", () => live.texts.length === 1);
    const away = await listen(ben, "now", `away ${transport}`);
    await away.client.close();
    await dissolve();
    expect((await create(cat, ["ben"])).status).toBe(201);
    await say(cat, "two");
    await until("the new one is heard", () => live.texts.length === 2);
    const back = await listen(ben, "now", `away ${transport}`);
    await until("it is caught up with", () => back.texts.length === 1);
    await say(cat, "three");
    await until("both hear it", () => live.texts.length === 3 && back.texts.length === 2);
    const fresh = await listen(ben, "start", `fresh ${transport}`);
    await until("all of the new one is heard", () => fresh.texts.length === 2);
    for (const heard of [live, back, fresh]) await heard.client.close();
    expect([live.texts, back.texts, fresh.texts]).toEqual([
      ["one", "two", "three"],
      ["two", "three"],
      ["two", "three"],
    ]);
    for (const heard of [live, back, fresh])
      expect(kinds(heard).filter((type) => ["offline", "lost", "reset", "error"].includes(type))).toEqual([]);
  });
});
