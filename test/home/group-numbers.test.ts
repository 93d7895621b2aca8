/** Numbers that a group derives, when what they are derived from changes: who is in it, how many those are, who wrote what. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import type { Device } from "../support/device.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

let node: TestNode;
let ann: Credentials;
let ben: Credentials;
let cat: Credentials;
let dan: Credentials;
let id: string;
let round = 0;

beforeAll(async () => {
  node = await startTestNode({ groupReceiptsMembersMax: 3 });
});
afterAll(() => node.stop());
beforeEach(async () => {
  id = `g${++round}`;
  [ann, ben, cat, dan] = (await node.api.users(`ann${round}`, `ben${round}`, `cat${round}`, `dan${round}`)) as [
    Credentials,
    Credentials,
    Credentials,
    Credentials,
  ];
  await node.api.group(ann, id, [ben.user, cat.user]);
});

const member = (method: "PUT" | "DELETE", who: Credentials) =>
  node.api.call(method, `/v1/groups/${id}/members/${who.user}`, ann.token);

async function numbers(who: Credentials) {
  const { body } = await node.api.get(`/v1/conversations/%23${id}?messages=1`, who.token);
  const { unread, readThrough, deliveredThrough, ownReadThrough, lastSeq } = body;
  return { unread, readThrough, deliveredThrough, ownReadThrough, lastSeq };
}

/** Takes effect before it resolves. */
async function mark(device: Device, t: "read" | "received", seq: number): Promise<void> {
  device.send({ t, conversation: `#${id}`, seq });
  await device.say(`@${device.welcome.user}`, "a commit after it");
}

describe("marks of others", () => {
  test("are not shown while a group is too large for receipts, and again, as they were, when it is small", async () => {
    const [a, c] = [await node.connect(ann), await node.connect(cat)];
    const { seq } = await a.say(`#${id}`, "one");
    await mark(c, "received", seq);
    await mark(c, "read", seq);
    expect(await numbers(ann)).toMatchObject({ deliveredThrough: seq, readThrough: seq });
    await member("PUT", dan);
    expect(await numbers(ann)).toMatchObject({ deliveredThrough: 0, readThrough: 0 });
    await node.restart();
    expect(await numbers(ann)).toMatchObject({ deliveredThrough: 0, readThrough: 0 });
    await member("DELETE", dan);
    expect(await numbers(ann)).toMatchObject({ deliveredThrough: seq, readThrough: seq });
  });

  test("that were said while it was too large count when they are said again in a small one", async () => {
    const [a, c] = [await node.connect(ann), await node.connect(cat)];
    await member("PUT", dan);
    const { seq } = await a.say(`#${id}`, "one");
    for (const t of ["received", "read"] as const) await mark(c, t, seq);
    await member("DELETE", dan);
    expect(await numbers(ann)).toMatchObject({ deliveredThrough: 0, readThrough: 0 });
    for (const t of ["received", "read"] as const) await mark(c, t, seq);
    expect(await numbers(ann)).toMatchObject({ deliveredThrough: seq, readThrough: seq });
    expect(a.all("receipt")).toMatchObject([
      { kind: "delivered", by: cat.user, seq },
      { kind: "read", by: cat.user, seq },
    ]);
  });

  test("count for as long as whoever said them is in the group", async () => {
    const [a, b, c] = [await node.connect(ann), await node.connect(ben), await node.connect(cat)];
    const first = (await a.say(`#${id}`, "one")).seq;
    const second = (await a.say(`#${id}`, "two")).seq;
    await mark(b, "read", first);
    await mark(b, "received", first);
    await mark(c, "read", second);
    await mark(c, "received", second);
    expect(await numbers(ann)).toMatchObject({ deliveredThrough: second, readThrough: second });
    await member("DELETE", cat);
    expect(await numbers(ann)).toMatchObject({ deliveredThrough: first, readThrough: first });
    await node.restart();
    expect(await numbers(ann)).toMatchObject({ deliveredThrough: first, readThrough: first });
    await member("PUT", cat);
    expect(await numbers(ann)).toMatchObject({ deliveredThrough: second, readThrough: second });
  });

  test("are told to authors who are in the group, and not to those who have left it", async () => {
    const [a, b, c] = [await node.connect(ann), await node.connect(ben), await node.connect(cat)];
    await b.say(`#${id}`, "from ben");
    const { seq } = await a.say(`#${id}`, "from ann");
    await member("DELETE", ben);
    await mark(c, "received", seq);
    await mark(c, "read", seq);
    expect(await a.take("receipt")).toMatchObject({ kind: "delivered", by: cat.user, seq });
    await b.say(`@${ben.user}`, "a commit after it");
    expect(b.all("receipt")).toEqual([]);
  });
});

describe("unread messages of a group", () => {
  const post = async (device: Device, count: number): Promise<number> => {
    let seq = 0;
    const refs = Array.from({ length: count }, (_, n) => device.post(`#${id}`, `text ${n}`));
    for (const ref of refs) ({ seq } = (await device.answerTo(ref)) as { seq: number });
    return seq;
  };

  test.each([
    [120, 3, 3],
    [0, 99, 99],
    [99, 100, 100],
    [1100, 2, 2],
    [10, 130, 100],
  ])(
    "%i own ones, then %i of others, are %i unread: at most 100, and one's own hide none",
    async (own, others, told) => {
      const [a, b] = [await node.connect(ann), await node.connect(ben)];
      await post(a, own);
      await post(b, others);
      expect((await numbers(ann)).unread).toBe(told);
      const { body } = await node.api.get("/v1/conversations?messages=1", ann.token);
      expect(body.conversations).toMatchObject([{ conversation: `#${id}`, unread: told }]);
    },
  );

  test("are counted anew where some were read, erased or joined over", async () => {
    const [a, b] = [await node.connect(ann), await node.connect(ben)];
    const own = await post(a, 600);
    await post(b, 4);
    expect((await numbers(ann)).unread).toBe(4);
    await mark(a, "read", own - 300);
    expect((await numbers(ann)).unread).toBe(4);
    await mark(a, "read", own + 1);
    expect((await numbers(ann)).unread).toBe(3);
    await post(b, 2);
    expect((await numbers(ann)).unread).toBe(5);
    await node.api.keyed("POST", `/v1/users/${ben.user}/erasure`);
    await untilErased(ben.user);
    expect((await numbers(ann)).unread).toBe(0);
    await node.restart();
    expect((await numbers(ann)).unread).toBe(0);
    const [again, other] = [await node.connect(ann), await node.connect(ben)];
    await post(other, 1);
    expect((await numbers(ann)).unread).toBe(1);
    await member("PUT", dan);
    expect((await numbers(dan)).unread).toBe(0);
    await post(again, 1);
    expect((await numbers(dan)).unread).toBe(1);
  });
});

const untilErased = (user: string): Promise<void> =>
  until(`the content of ${user} is erased`, async () => {
    const { body } = await node.api.keyed("GET", `/v1/users/${user}/erasure`);
    return body.state === "done";
  });
