/** Messages that have become too old: what is left of them, what stays, and that no file has them any more. The clock is the test's. */
import { afterEach, expect, test } from "bun:test";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { filesWith } from "../storage/files/stored-bytes.ts";
import { FROM_THE_BEGINNING } from "../support/device.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

const DAY_MS = 86_400_000;
/** The middle of a day (UTC): each test moves by days from there. */
const NOON = Math.floor(Date.now() / DAY_MS) * DAY_MS + DAY_MS / 2;

const word = (of: string): string => `${of}${crypto.randomUUID().replaceAll("-", "")}`;

let nowMs = NOON;
let startedAtMs = 0;
let node: TestNode;
let ann: Credentials;
let ben: Credentials;
let refs = 0;

afterEach(() => node.stop());

async function start(keepDays?: number): Promise<void> {
  nowMs = NOON;
  startedAtMs = performance.now();
  const clock: Clock = { ...systemClock, now: () => Math.floor(nowMs + performance.now() - startedAtMs) };
  const maintenanceTimes = { firstMs: 1, sweepMs: 20, againMs: 20 };
  node = await startTestNode(keepDays === undefined ? {} : { keepDays }, { clock, maintenanceTimes });
  [ann, ben] = (await node.api.users("ann", "ben")) as [Credentials, Credentials];
}

const days = (count: number): void => void (nowMs += count * DAY_MS);

async function say(who: Credentials, to: string, text: string): Promise<void> {
  const { status } = await node.api.post("/v1/messages", who.token, { to, text, ref: `r-${++refs}` });
  expect(status).toBe(201);
}

const history = async (who: Credentials, address: string) =>
  (await node.api.history(who, address)).map(({ seq, text, deletedAt }) =>
    deletedAt === undefined ? `${seq} ${text}` : `${seq} gone`,
  );

const isGone = (who: Credentials, address: string, count: number) =>
  until(`${count} of ${address} are gone`, async () => {
    const texts = await history(who, address);
    return texts.filter((text) => text.endsWith("gone")).length === count;
  });

const files = (text: string) => filesWith(node.dataDirectory, Buffer.from(text));

const setKeepDays = (who: Credentials, group: string, keepDays: number | null) =>
  node.api.call("PATCH", `/v1/groups/${group}`, who.token, { keepDays });

test("a message is kept for its days, goes within the day after, and both people's copies go", async () => {
  await start(2);
  await say(ann, "@ben", "first");
  days(1);
  await say(ben, "@ann", "second");
  days(1);
  await say(ann, "@ben", "third");
  // Two and a half days old at most, and of the day that is still kept.
  expect(await history(ben, "@ann")).toEqual(["1 first", "2 second", "3 third"]);
  days(1);
  await isGone(ben, "@ann", 1);
  await isGone(ann, "@ben", 1);
  expect(await history(ann, "@ben")).toEqual(["1 gone", "2 second", "3 third"]);
  days(1);
  await isGone(ben, "@ann", 2);
  expect(await history(ben, "@ann")).toEqual(["1 gone", "2 gone", "3 third"]);
  await node.restart();
  expect(await history(ben, "@ann")).toEqual(["1 gone", "2 gone", "3 third"]);
  expect((await node.connect(ann)).welcome.limits.keepDays).toBe(2);
});

test("expired messages are in no file any more, and younger ones are", async () => {
  await start(1);
  const [old, fresh] = [word("old"), word("fresh")];
  await node.api.group(ann, "club", ["ben"]);
  for (let i = 0; i < 50; i++) await say(ann, i % 2 === 0 ? "@ben" : "#club", `${old} ${i}`);
  await node.restart();
  days(2);
  for (let i = 0; i < 50; i++) await say(ann, i % 2 === 0 ? "@ben" : "#club", `${fresh} ${i}`);
  await isGone(ben, "@ann", 25);
  await isGone(ben, "#club", 25);
  await until("no file has it", () => files(old).length === 0);
  expect(files(fresh).length).toBeGreaterThan(0);
  expect((await history(ann, "#club")).slice(-1)).toEqual([`51 ${fresh} 49`]);
});

test("a group's messages are kept for as long as its admin sets; members see the setting, other groups do not change", async () => {
  await start();
  await node.api.group(ann, "short", ["ben"]);
  await node.api.group(ann, "long", ["ben"]);
  for (const to of ["@ben", "#short", "#long"]) await say(ann, to, "old");
  const device = await node.connect(ben);
  const refused = await setKeepDays(ben, "short", 1);
  expect([refused.status, refused.body.code]).toEqual([403, "forbidden"]);
  const { status, body } = await setKeepDays(ann, "short", 1);
  expect([status, body.keepDays]).toEqual([200, 1]);
  expect(await device.take("group")).toMatchObject({
    change: "retention",
    keepDays: 1,
    by: "ann",
    conversation: "#short",
    seq: 3,
  });
  days(3);
  await say(ann, "#short", "new");
  await isGone(ben, "#short", 1);
  expect(await history(ben, "#short")).toEqual(["2 gone", "4 new"]);
  expect(await history(ben, "#long")).toEqual(["2 old"]);
  expect(await history(ben, "@ann")).toEqual(["3 old"]);
  await node.restart();
  expect((await node.api.get("/v1/groups/short", ben.token)).body.keepDays).toBe(1);
  // For ever again: what comes now stays.
  expect((await setKeepDays(ann, "short", null)).body.keepDays).toBeUndefined();
  await setKeepDays(ann, "long", 1);
  days(3);
  await isGone(ben, "#long", 1);
  expect(await history(ben, "#short")).toEqual(["2 gone", "4 new"]);
});

test("a group that was created anew has the retention of its own admin, and messages of the former group keep theirs", async () => {
  await start();
  const [first, second, third] = [word("first"), word("second"), word("third")];
  const create = () => node.api.group(ann, "club", ["ben"]);
  const dissolve = () => node.api.call("DELETE", "/v1/groups/club", ann.token);
  await create();
  await say(ann, "#club", first);
  await dissolve();
  await create();
  await say(ann, "#club", second);
  await setKeepDays(ann, "club", 3);
  await dissolve();
  await create();
  await say(ann, "#club", third);
  expect((await setKeepDays(ann, "club", 1)).body.keepDays).toBe(1);
  days(2);
  await isGone(ben, "#club", 1);
  await until("the third is in no file", () => files(third).length === 0);
  expect(files(second).length).toBeGreaterThan(0);
  await node.restart();
  days(2);
  await until("the second is in no file", () => files(second).length === 0);
  days(100);
  await say(ben, "#club", "new");
  days(3);
  await isGone(ben, "#club", 2);
  expect(files(first).length).toBeGreaterThan(0);
});

test("of the server's days and the group's the shorter hold", async () => {
  await start(2);
  for (const group of ["one", "five"]) await node.api.group(ann, group, ["ben"]);
  await setKeepDays(ann, "one", 1);
  await setKeepDays(ann, "five", 5);
  for (const to of ["#one", "#five", "@ben"]) await say(ann, to, "old");
  days(2);
  await isGone(ben, "#one", 1);
  expect(await history(ben, "#five")).toEqual(["3 old"]);
  expect(await history(ben, "@ann")).toHaveLength(1);
  days(1);
  await isGone(ben, "#five", 1);
  await isGone(ben, "@ann", 1);
});

test("members, name and history of changes of a group survive, also for a new device", async () => {
  await start(1);
  await node.api.group(ann, "club", ["ben"]);
  await say(ann, "@ben", "old");
  await say(ben, "#club", "old");
  await node.api.call("PATCH", "/v1/groups/club", ann.token, { name: "renamed" });
  await node.api.user("cat");
  await node.api.call("PUT", "/v1/groups/club/members/cat", ann.token, { role: "admin" });
  const before = (await node.api.get("/v1/groups/club", ben.token)).body;
  days(5);
  await isGone(ben, "@ann", 1);
  await isGone(ben, "#club", 1);
  for (const restarts of [0, 1]) {
    if (restarts > 0) await node.restart();
    expect((await node.api.get("/v1/groups/club", ben.token)).body).toEqual(before);
    const device = await node.connect(ben, FROM_THE_BEGINNING);
    await device.take("live");
    expect(device.all("membership")).toMatchObject([{ seq: 1, conversation: "#club", change: "joined" }]);
    expect(device.all("group").map(({ seq, change }) => `${seq} ${change}`)).toEqual([
      "1 created",
      "3 renamed",
      "4 joined",
    ]);
    expect(device.all("message").map(({ conversation, seq, text }) => [conversation, seq, text])).toEqual([
      ["@ann", 2, undefined],
      ["#club", 2, undefined],
    ]);
  }
});

test("an unread message that expires is not unread any more, and receipts go on", async () => {
  await start(1);
  for (let i = 0; i < 3; i++) await say(ann, "@ben", `old ${i}`);
  days(3);
  await isGone(ben, "@ann", 3);
  await say(ann, "@ben", "new");
  const conversation = async (who: Credentials, address: string) =>
    (await node.api.get(`/v1/conversations/${encodeURIComponent(address)}?messages=1`, who.token)).body;
  expect(await conversation(ben, "@ann")).toMatchObject({ unread: 1, lastSeq: 4 });
  const device = await node.connect(ben, FROM_THE_BEGINNING);
  await device.take("live");
  device.send({ t: "received", seq: 4 });
  device.send({ t: "read", conversation: "@ann", seq: 4 });
  await until("the receipts are there", async () => (await conversation(ann, "@ben")).readThrough === 4);
  expect(await conversation(ann, "@ben")).toMatchObject({ deliveredThrough: 4, readThrough: 4 });
  expect(await conversation(ben, "@ann")).toMatchObject({ unread: 0, ownReadThrough: 4 });
});

test("a clock that has gone back by weeks does not keep messages for weeks longer", async () => {
  await start(2);
  await say(ben, "@ben", "before");
  days(30);
  await isGone(ben, "@ben", 1);
  // The sweep in which this one goes begins after the one before has ended.
  await say(ann, "@ann", "by a wrong clock");
  days(5);
  await isGone(ann, "@ann", 1);
  days(-35);
  await say(ben, "@ben", "after");
  days(4);
  await isGone(ben, "@ben", 2);
});

test("unread messages of a group are found after a long run of expired ones", async () => {
  await start();
  await node.api.group(ann, "club", ["ben"]);
  const device = await node.connect(ann);
  const answers = Array.from({ length: 900 }, (_, i) => device.ask("#club", `old ${i}`));
  await Promise.all(answers);
  for (let i = 0; i < 300; i++) await say(ben, "#club", `old, too ${i}`);
  days(3);
  await setKeepDays(ann, "club", 1);
  await isGone(ben, "#club", 1200);
  for (let i = 0; i < 3; i++) await say(ann, "#club", `new ${i}`);
  expect((await node.api.get("/v1/conversations/%23club", ben.token)).body.unread).toBe(3);
});
