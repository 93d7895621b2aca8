/** A cluster in the place of a test's node: its clients are at an edge, and their homes are at three nodes. */
import type { ServeOptions } from "../../../src/cli/serve-options.ts";
import type { NodeParts } from "../../../src/node/node.ts";
import { Api } from "../api.ts";
import { Device } from "../device.ts";
import type { TestNode } from "../test-node.ts";
import { expectFaults, forgetFaults } from "../settled-faults.ts";
import { SettlingRouter } from "./settling-router.ts";
import { startTestCluster } from "./test-cluster.ts";

const OWNING = 3;

export async function startClusterAsNode(options: Partial<ServeOptions>, parts: NodeParts): Promise<TestNode> {
  const router = new SettlingRouter();
  expectFaults(router);
  const cluster = await startTestCluster(OWNING, 1, options, { router: router.around, ...parts });
  const edge = cluster.ids.at(-1)!;
  const api = new Api(cluster.url(edge), cluster.apiKey);
  const devices = new Set<Device>();
  return {
    api,
    dataDirectory: cluster.dataOf(cluster.ids[0]!),
    url: api.url,
    port: Number(new URL(api.url).port),
    async connect(who, cursor) {
      const device = await Device.connect(api.url, who, cursor);
      devices.add(device);
      return device;
    },
    async restart(changes = {}, between = () => {}) {
      for (const id of cluster.ids) await cluster.stop(id);
      router.clear();
      between();
      for (const id of cluster.ids) await cluster.start(id, changes);
    },
    async stop() {
      for (const device of devices) device.terminate();
      await cluster.end();
      forgetFaults(router);
    },
  };
}
