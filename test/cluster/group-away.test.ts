/** A node that is away takes its groups with it, and nothing else. */
import { expect, test } from "bun:test";
import { groupAddress, shardOf, userAddress, type GroupId, type UserId } from "../../src/domain/address.ts";
import { Api } from "../support/api.ts";
import { Device, FROM_THE_BEGINNING } from "../support/device.ts";
import { until } from "../support/wait.ts";
import { startTestCluster } from "../support/cluster/test-cluster.ts";

/** A name whose shard is at the first of two nodes, or at the second. */
function nameAt(node: 1 | 2, name: string, addressOf: (name: string) => Parameters<typeof shardOf>[0]): string {
  for (let at = 0; ; at++) if (shardOf(addressOf(`${name}${at}`)) < 500 === (node === 1)) return `${name}${at}`;
}
const userAt = (node: 1 | 2, name: string): string => nameAt(node, name, (id) => userAddress(id as UserId));

/** Until the first node has noticed that the other one is away, it hopes to read what was written there. */
async function connected(url: string, who: Parameters<typeof Device.connect>[1]): Promise<Device> {
  const { promise, resolve } = Promise.withResolvers<Device>();
  await until("the device is live", async () => {
    const device = await Device.connect(url, who, FROM_THE_BEGINNING);
    const isLive = await Promise.race([device.take("live").then(() => true), device.closed.then(() => false)]);
    if (isLive) resolve(device);
    return isLive;
  });
  return promise;
}

test("members of a group at a node that is away connect, and get its messages when it is back", async () => {
  const cluster = await startTestCluster(2, 0);
  try {
    const api = new Api(cluster.url("n1"), cluster.apiKey);
    const [ann, ben] = await api.users(userAt(1, "ann"), userAt(1, "ben"));
    const group = nameAt(2, "club", (id) => groupAddress(id as GroupId));
    await api.group(ann!, group, [ann!.user, ben!.user]);
    await api.post("/v1/messages", ben!.token, { to: `#${group}`, text: "before", ref: "g1" });
    await cluster.stop("n2");
    await api.post("/v1/messages", ben!.token, { to: `@${ann!.user}`, text: "meanwhile", ref: "d1" });
    const device = await connected(api.url, ann!);
    expect((await device.take("message")).text).toBe("meanwhile");
    await cluster.start("n2");
    // It is sent away, so that it comes back with its cursor.
    expect((await device.closed).code).toBe(4003);
    const again = await Device.connect(api.url, ann!, FROM_THE_BEGINNING);
    const texts = [(await again.take("message")).text, (await again.take("message")).text];
    expect(new Set(texts)).toEqual(new Set(["before", "meanwhile"]));
    await again.close();
  } finally {
    await cluster.end();
  }
});
