/** People whose homes are at different nodes, through a node that is the home of none of them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { shardOf, userAddress, type UserId } from "../../src/domain/address.ts";
import { Api } from "../support/api.ts";
import { Device, FROM_THE_BEGINNING } from "../support/device.ts";
import { startTestCluster, type TestCluster } from "../support/cluster/test-cluster.ts";

let cluster: TestCluster;
let api: Api;

beforeAll(async () => {
  cluster = await startTestCluster(3, 1);
  api = new Api(cluster.url("edge1"), cluster.apiKey);
});
afterAll(() => cluster.end());

/** A user whose home is the nth of three nodes. */
function userAt(node: number, name: string): string {
  for (let at = 0; ; at++) {
    const user = `${name}${at}` as UserId;
    if (Math.floor((shardOf(userAddress(user)) * 3) / 1000) === node - 1) return user;
  }
}

test("a message goes from home to home, and its receipt comes back", async () => {
  const [alice, bob] = [await api.user(userAt(1, "alice")), await api.user(userAt(2, "bob"))];
  const [from, to] = [await Device.connect(api.url, alice), await Device.connect(cluster.url("n3"), bob)];
  from.send({ t: "send", ref: "r1", to: `@${bob.user}`, text: "hello" });
  const sent = await from.take("sent");
  const message = await to.take("message");
  expect(message).toMatchObject({ id: sent.id, from: alice.user, text: "hello" });
  to.send({ t: "received", seq: message.seq });
  expect(await from.take("receipt")).toMatchObject({ by: bob.user, kind: "delivered" });
});

test("a group has members at all nodes, and each gets each message once", async () => {
  const users = await api.users(...[1, 2, 3].map((node) => userAt(node, "member")));
  const devices = await Promise.all(users.map((user) => Device.connect(api.url, user)));
  await api.group(
    users[0]!,
    "everywhere",
    users.map(({ user }) => user),
  );
  for (const [at, device] of devices.entries())
    device.send({ t: "send", ref: `g${at}`, to: "#everywhere", text: `from ${at}` });
  for (const device of devices) {
    const texts = [(await device.take("message")).text, (await device.take("message")).text];
    expect(new Set(texts).size).toBe(2);
    await device.take("sent");
  }
});

test("history, long poll and registration work at any node", async () => {
  const [a, b] = await api.users(userAt(1, "poller"), userAt(3, "writer"));
  const at2 = new Api(cluster.url("n2"), cluster.apiKey);
  const held = at2.post("/v1/sync", a!.token, { cursor: FROM_THE_BEGINNING, waitMs: 20_000 });
  await api.post("/v1/messages", b!.token, { to: `@${a!.user}`, text: "for the poll", ref: "p1" });
  const { body } = await held;
  expect(body.frames.some(({ text }: { text?: string }) => text === "for the poll")).toBe(true);
  expect((await at2.history(a!, `@${b!.user}`)).map(({ text }) => text)).toEqual(["for the poll"]);
  const name = userAt(3, "newcomer");
  const both = await Promise.all(
    [api, at2].map((one) => one.call("POST", "/v1/register", undefined, { user: name, password: "correct horse" })),
  );
  expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 409]);
});
