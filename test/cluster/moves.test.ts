/** Shards move between nodes while people talk. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { shardOf, userAddress, groupAddress, type GroupId, type UserId } from "../../src/domain/address.ts";
import type { NodeStatus } from "../../src/node/cluster/admin.ts";
import { Api } from "../support/api.ts";
import { Device } from "../support/device.ts";
import { startTestCluster, type TestCluster } from "../support/cluster/test-cluster.ts";
import { until } from "../support/wait.ts";

let cluster: TestCluster;
let api: Api;

beforeAll(async () => {
  cluster = await startTestCluster(2, 1);
  api = new Api(cluster.url("edge1"), cluster.apiKey);
});
afterAll(() => cluster.end());

const RATE = 100_000_000;
const status = (node: string): Promise<NodeStatus> => cluster.admin.call(cluster.url(node), "GET", "status");

async function move(shard: number, from: string, to: string): Promise<void> {
  await cluster.admin.call(cluster.url(to), "POST", "moves", { shard, from, rate: RATE });
  await until(`shard ${shard} has moved to ${to}`, async () => {
    const { moves } = await status(to);
    const report = moves.find((one) => one.shard === shard);
    if (report?.state === "failed") throw new Error(report.why);
    return report?.state === "done";
  });
}

/** A name whose shard is at the first of two nodes, or at the second. */
function nameAt(node: 1 | 2, name: string): UserId {
  for (let at = 0; ; at++) {
    const user = `${name}${at}` as UserId;
    if (shardOf(userAddress(user)) < 500 === (node === 1)) return user;
  }
}

test("a user's shard moves there and back, and everything is where it was", async () => {
  const [alice, bob] = await api.users(nameAt(1, "alice"), nameAt(2, "bob"));
  const shard = shardOf(userAddress(alice!.user as UserId));
  const say = async (text: string): Promise<void> => {
    const { status: code } = await api.post("/v1/messages", alice!.token, { to: `@${bob!.user}`, text, ref: text });
    expect(code).toBe(201);
  };
  await say("before");
  await move(shard, "n1", "n2");
  await say("at the second node");
  await move(shard, "n2", "n1");
  await say("back");
  const texts = ["before", "at the second node", "back"];
  expect((await api.history(alice!, `@${bob!.user}`)).map(({ text }) => text)).toEqual(texts);
  expect((await api.history(bob!, `@${alice!.user}`)).map(({ text }) => text)).toEqual(texts);
  expect(
    (await api.post("/v1/messages", alice!.token, { to: `@${bob!.user}`, text: "back", ref: "back" })).status,
  ).toBe(200);
});

test("a connected device is sent to the next owner, and nobody else may serve the shard", async () => {
  const carol = await api.user(nameAt(1, "carol"));
  const shard = shardOf(userAddress(carol.user as UserId));
  const device = await Device.connect(cluster.url("n1"), carol);
  await move(shard, "n1", "n2");
  expect((await device.closed).code).toBe(4002);
  const again = await Device.connect(cluster.url("n1"), carol);
  expect(again.welcome.node).toBe("n2");
  await expect(move(shard, "n1", "n2")).rejects.toThrow("at n2 already");
  await again.close();
});

test("a group's shard moves, and members at all nodes get each message once", async () => {
  const users = await api.users(nameAt(1, "dora"), nameAt(2, "emil"));
  let id = "";
  for (let at = 0; shardOf(groupAddress(id as GroupId)) >= 500 || id === ""; at++) id = `club${at}`;
  await api.group(
    users[0]!,
    id,
    users.map(({ user }) => user),
  );
  const say = (text: string) => api.post("/v1/messages", users[1]!.token, { to: `#${id}`, text, ref: text });
  await say("one");
  await move(shardOf(groupAddress(id as GroupId)), "n1", "n2");
  const devices = await Promise.all(users.map((user) => Device.connect(api.url, user)));
  expect((await say("two")).status).toBe(201);
  for (const device of devices) expect((await device.take("message")).text).toBe("two");
  for (const user of users) expect((await api.history(user, `#${id}`)).map(({ text }) => text)).toEqual(["one", "two"]);
  for (const device of devices) await device.close();
});

test("a move survives a restart of all nodes, with the map from before it", async () => {
  const frida = await api.user(nameAt(1, "frida"));
  const shard = shardOf(userAddress(frida.user as UserId));
  await move(shard, "n1", "n2");
  for (const id of cluster.ids) await cluster.stop(id);
  for (const id of cluster.ids) await cluster.start(id);
  expect((await status("n2")).unserved).toEqual([]);
  const device = await Device.connect(api.url, frida);
  expect(device.welcome.node).toBe("n2");
  await device.close();
});
