/** A client that is connected to its home itself is told where the home moves to. */
import { expect, test } from "bun:test";
import { Api } from "../support/api.ts";
import { move, nameAt, shardOfUser } from "../support/cluster/moving.ts";
import { startTestCluster } from "../support/cluster/test-cluster.ts";
import { Device } from "../support/device.ts";

test("`bye` of a moved shard names the next node to a client that is connected to the home itself", async () => {
  const cluster = await startTestCluster(2, 1, {}, {}, (node) => node === "n2");
  const api = new Api(cluster.url("edge1"), cluster.apiKey);
  try {
    const user = await api.user(nameAt(1, "carol"));
    const shard = shardOfUser(user.user);
    const direct = await Device.connect(cluster.url("n1"), user);
    const relayed = await Device.connect(api.url, user);
    await move(cluster, shard, "n1", "n2");
    expect(await direct.take("bye")).toMatchObject({ code: 4002, url: cluster.url("n2") });
    expect((await relayed.take("bye")).url).toBeUndefined();
    const { body } = await api.get("/v1/route", user.token);
    expect(body).toEqual({ shard, node: "n2", url: cluster.url("n2") });
    const back = await Device.connect(cluster.url("n2"), user);
    await move(cluster, shard, "n2", "n1");
    expect((await back.take("bye")).url).toBeUndefined();
  } finally {
    await cluster.end();
  }
});
