/**
 * A user who joined a group more than once since a device was last connected: the device starts at the first `joined`
 * of the present group that it is told, and so does the server. A hole is never left.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { ParleyClient, type ClientEvent } from "../../src/client/client.ts";
import { MemoryCursorStore } from "../../src/client/cursor-store.ts";
import type { Cursor, ServerFrame } from "../../src/protocol/frames.ts";
import type { Credentials, SyncReply } from "../../src/protocol/http-shapes.ts";
import { FROM_THE_BEGINNING } from "../support/device.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

const RESUME_ENTRIES_MAX = 20;

let node: TestNode;
let ann: Credentials;
let ben: Credentials;
let round = 0;
let id: string;

beforeAll(async () => {
  node = await startTestNode({ resumeEntriesMax: RESUME_ENTRIES_MAX });
});
afterAll(() => node.stop());
beforeEach(async () => {
  id = `g${++round}`;
  [ann, ben] = (await node.api.users(`ann${round}`, `ben${round}`)) as [Credentials, Credentials];
});

const group = (method: string, who: Credentials, path = "", body?: unknown) =>
  node.api.call(method, `/v1/groups/${id}${path}`, who.token, body);
const create = async (who: Credentials, members: string[]): Promise<number> => {
  const { status, body } = await node.api.post("/v1/groups", who.token, { id, name: id, members });
  expect(status).toBe(201);
  return body.head.seq;
};
const leave = async (who: Credentials) => expect((await group("DELETE", who, `/members/${who.user}`)).status).toBe(204);
const comeBack = async (who: Credentials) =>
  expect((await group("PUT", who, `/members/${who.user}`, {})).status).toBe(204);
let refs = 0;
const say = async (who: Credentials, to: string, text: string): Promise<void> =>
  expect((await node.api.post("/v1/messages", who.token, { to, text, ref: `r-${++refs}` })).status).toBe(201);
const poll = async (who: Credentials, cursor: Cursor): Promise<SyncReply> =>
  (await node.api.post("/v1/sync", who.token, { cursor, waitMs: 0 })).body;

/** Ben, who was in a former group of this id, joins the present one, leaves it and comes back. @returns its first seq */
async function joinTwice(): Promise<number> {
  expect((await group("DELETE", ann)).status).toBe(204);
  const born = await create(ann, [ben.user]);
  await leave(ben);
  await say(ann, `#${id}`, "while he was out");
  await comeBack(ben);
  await say(ann, `#${id}`, "when he was back");
  return born;
}

/** Seqs of the group, of entries and messages; a gap or reset as its name. */
const seqsOf = (frames: readonly ServerFrame[]): (number | string)[] =>
  frames
    .filter((frame) => "conversation" in frame && frame.conversation === `#${id}` && frame.t !== "membership")
    .map((frame) => ("seq" in frame && frame.seq !== undefined ? frame.seq : frame.t));
const through = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n);

describe("a device that was away while its user joined twice", () => {
  test("has a former group of that id, and gets the present one from the first time on", async () => {
    await create(ann, [ben.user]);
    const { cursor } = await poll(ben, FROM_THE_BEGINNING);
    const born = await joinTwice();
    const reply = await poll(ben, cursor);
    expect(seqsOf(reply.frames)).toEqual(through(born, born + 4));
    expect(reply.cursor.groups[`#${id}`]!.seq).toBe(born + 4);
  });

  test("has nothing, and gets the group from the first time on", async () => {
    await create(ann, [ben.user]);
    const born = await joinTwice();
    const reply = await poll(ben, FROM_THE_BEGINNING);
    expect(seqsOf(reply.frames)).toEqual(through(born, born + 4));
  });

  test("has missed more of its timeline than is sent, so that nobody tells it, and begins the group anew", async () => {
    await create(ann, [ben.user]);
    const { cursor } = await poll(ben, FROM_THE_BEGINNING);
    await joinTwice();
    for (let n = 0; n < RESUME_ENTRIES_MAX; n++) await say(ann, `@${ben.user}`, `direct ${n}`);
    const reply = await poll(ben, cursor);
    expect(reply.frames.filter(({ t }) => t === "gap")).toMatchObject([{ from: cursor.timeline + 1 }]);
    expect(seqsOf(reply.frames)).toEqual(["reset"]);
  });
});

describe.each(["socket", "poll"] as const)("the SDK, by %s, that was away while its user joined twice", (transport) => {
  type Heard = { client: ParleyClient; texts: string[]; events: ClientEvent[] };

  async function listen(cursorStore: MemoryCursorStore, from: "now" | "start"): Promise<Heard> {
    const texts: string[] = [];
    const events: ClientEvent[] = [];
    const client = new ParleyClient({
      url: node.url,
      token: ben.token,
      from,
      transport,
      cursorStore,
      onMessage: ({ conversation, text }) => void (conversation === `#${id}` && texts.push(text ?? "")),
      onEvent: (event) => void events.push(event),
    });
    await client.connect();
    return { client, texts, events };
  }

  const isBroken = ({ type }: ClientEvent) => ["offline", "lost", "error"].includes(type);

  test.each(["now", "start"] as const)("catches up in one go, starting %s", async (from) => {
    await create(ann, [ben.user]);
    const store = new MemoryCursorStore();
    if (from === "now") await (await listen(store, "now")).client.close();
    await joinTwice();
    const back = await listen(store, from);
    await until("it is caught up with", () => back.texts.length === 2);
    await back.client.close();
    expect(back.texts).toEqual(["while he was out", "when he was back"]);
    expect(back.events.filter(isBroken)).toEqual([]);
  });

  test("catches up also when it has missed more of its timeline than is sent", async () => {
    await create(ann, [ben.user]);
    const store = new MemoryCursorStore();
    await (await listen(store, "now")).client.close();
    await joinTwice();
    for (let n = 0; n < RESUME_ENTRIES_MAX; n++) await say(ann, `@${ben.user}`, `direct ${n}`);
    const back = await listen(store, "now");
    await say(ann, `#${id}`, "at last");
    await until("it is caught up with", () => back.texts.includes("at last"));
    await back.client.close();
    expect(back.events.filter(isBroken)).toEqual([]);
  });

  test("begins with nothing, and pages its timeline, in which both are", async () => {
    await create(ann, [ben.user]);
    await joinTwice();
    for (let n = 0; n < 3 * RESUME_ENTRIES_MAX; n++) await say(ann, `#${id}`, `${n}`);
    for (let n = 0; n < RESUME_ENTRIES_MAX; n++) await say(ann, `@${ben.user}`, `direct ${n}`);
    const heard = await listen(new MemoryCursorStore(), "start");
    await until("it is caught up with", () => heard.texts.length === 2 + 3 * RESUME_ENTRIES_MAX);
    await heard.client.close();
    expect(heard.texts.slice(0, 2)).toEqual(["while he was out", "when he was back"]);
  });
});
