import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { FROM_THE_BEGINNING, type Device } from "../support/device.ts";
import { FaultyFiles } from "../support/faulty-files.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until, within } from "../support/wait.ts";

const faults = new FaultyFiles();
let node: TestNode;
let round = 0;
let alice: Credentials;
let bob: Credentials;
let sender: Device;

beforeAll(async () => {
  node = await startTestNode({}, { files: faults.files });
});
afterAll(() => node.stop());
beforeEach(async () => {
  round++;
  [alice, bob] = (await node.api.users(`alice${round}`, `bob${round}`)) as [Credentials, Credentials];
  sender = await node.connect(alice);
});
afterEach(() => faults.release());

/** Everything that `who` can see by asking. */
async function everything(who: Credentials, others: string[]) {
  const fresh = await node.connect(who, FROM_THE_BEGINNING);
  await fresh.take("live");
  const timeline = await node.api.get("/v1/entries", who.token);
  const conversations = await node.api.get("/v1/conversations", who.token);
  const sync = await node.api.post("/v1/sync", who.token, { cursor: FROM_THE_BEGINNING });
  const pages = others.map((address) =>
    node.api.get(`/v1/conversations/${encodeURIComponent(address)}/messages`, who.token),
  );
  const { timeline: head, groups, marks } = fresh.welcome;
  const frames = fresh.frames.slice(1);
  await fresh.close();
  return {
    heads: { head, groups, marks },
    frames,
    entries: timeline.body,
    conversations: conversations.body,
    sync: sync.body,
    pages: (await Promise.all(pages)).map(({ body }) => body),
  };
}

test("a direct message is shown to nobody, in no way, before it is on disk", async () => {
  const alicesOther = await node.connect(await node.api.user(alice.user));
  const receiver = await node.connect(bob);
  const atBob = await everything(bob, [`@${alice.user}`]);
  const atAlice = await everything(alice, [`@${bob.user}`]);
  faults.hold();
  sender.post(`@${bob.user}`, "not yet");
  await faults.held();
  expect(await everything(bob, [`@${alice.user}`])).toEqual(atBob);
  expect(await everything(alice, [`@${bob.user}`])).toEqual(atAlice);
  for (const device of [sender, alicesOther, receiver]) expect(await device.untaken()).toEqual([]);
  faults.release();
  await sender.take("sent");
  expect((await receiver.take("message")).text).toBe("not yet");
  expect((await alicesOther.take("message")).text).toBe("not yet");
});

test("a group, its members and its messages are shown to nobody before they are on disk", async () => {
  const receiver = await node.connect(bob);
  const before = await everything(bob, [`#g${round}`]);
  faults.hold();
  const creating = node.api.group(alice, `g${round}`, [bob.user]);
  await faults.held();
  expect(await everything(bob, [`#g${round}`])).toEqual(before);
  expect((await node.api.get(`/v1/groups/g${round}`, alice.token)).status).toBe(404);
  expect(await receiver.untaken()).toEqual([]);
  faults.release();
  await creating;
  await receiver.take("membership");
  await receiver.take("group");

  const withGroup = await everything(bob, [`#g${round}`]);
  faults.hold();
  sender.post(`#g${round}`, "not yet");
  await faults.held();
  expect(await everything(bob, [`#g${round}`])).toEqual(withGroup);
  expect(await receiver.untaken()).toEqual([]);
  faults.release();
  await sender.take("sent");
  expect((await receiver.take("message")).text).toBe("not yet");
});

test("a receipt is shown to nobody before its mark is on disk", async () => {
  const receiver = await node.connect(bob);
  await sender.say(`@${bob.user}`, "hello");
  const { seq } = await receiver.take("message");
  const before = await everything(alice, []);
  faults.hold();
  receiver.send({ t: "received", seq });
  receiver.send({ t: "read", conversation: `@${alice.user}`, seq });
  await faults.held();
  expect(await everything(alice, [])).toEqual(before);
  expect(await sender.untaken()).toEqual([]);
  faults.release();
  expect((await sender.take("receipt")).kind).toBe("delivered");
  expect((await sender.take("receipt")).kind).toBe("read");
});

test("a waiting poll wakes when the message is on disk, not when it is sent", async () => {
  const cursor = (await node.api.post("/v1/sync", bob.token, { cursor: FROM_THE_BEGINNING })).body.cursor;
  let isAnswered = false;
  faults.hold();
  const poll = node.api.post("/v1/sync", bob.token, { cursor, waitMs: 20_000 }).finally(() => (isAnswered = true));
  sender.post(`@${bob.user}`, "not yet");
  await faults.held();
  await sender.untaken();
  expect(isAnswered).toBe(false);
  faults.release();
  expect((await poll).body.frames).toMatchObject([{ t: "message", text: "not yet" }]);
});

test("a message whose write failed was shown to nobody", async () => {
  const receiver = await node.connect(bob);
  faults.failNextWrite("EIO");
  expect(await sender.ask(`@${bob.user}`, "lost", "r-1")).toMatchObject({ t: "error", code: "unavailable" });
  expect((await receiver.end()).code).toBe(4003);
  expect(receiver.all("message")).toEqual([]);
  await until("it is ready again", async () => (await node.api.get("/readyz", bob.token)).status === 200);
  const again = await node.connect(bob, { epoch: receiver.welcome.epoch, timeline: 0, groups: {} });
  await again.take("live");
  expect(again.all("message")).toEqual([]);
  const retried = await (await node.connect(alice)).say(`@${bob.user}`, "lost", "r-1", true);
  expect(retried.duplicate).toBeUndefined();
  expect((await again.take("message")).id).toBe(retried.id);
  await within("bob's device to close", again.close());
});
