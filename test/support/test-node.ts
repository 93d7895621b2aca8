/** A node in this process, on a free port, with an empty data directory and cheap passwords. */
import { parseOptions } from "../../src/cli/options.ts";
import { SERVE_OPTIONS, type ServeOptions } from "../../src/cli/serve-options.ts";
import { startNode, type NodeParts } from "../../src/node/node.ts";
import { Api } from "./api.ts";
import { startClusterAsNode } from "./cluster/cluster-as-node.ts";
import { dataDirectory } from "./data-directory.ts";
import { Device, type DeviceCursor } from "./device.ts";
import { faultyNode } from "./faulty-node.ts";
import { expectFaults, forgetFaults } from "./settled-faults.ts";
import { UNHURRIED } from "./test-process.ts";
import { within } from "./wait.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";

export type TestNode = {
  readonly api: Api;
  readonly url: string;
  readonly port: number;
  readonly dataDirectory: string;
  /** A connected device, `welcome` taken. */
  connect: (who: Credentials, cursor?: DeviceCursor) => Promise<Device>;
  /** Drains it and starts it on the same data. */
  restart: (changes?: Partial<ServeOptions>, between?: () => void) => Promise<void>;
  stop: () => Promise<void>;
};

const CHEAP = ["--port", "0", "--argon2-memory-kb", "8", "--argon2-passes", "1", "--log-level", "error", ...UNHURRIED];

export async function startTestNode(options: Partial<ServeOptions> = {}, parts: NodeParts = {}): Promise<TestNode> {
  if (process.env["CLUSTER"] !== undefined) return startClusterAsNode(options, parts);
  const data = await dataDirectory();
  const all = { ...parseOptions(SERVE_OPTIONS, CHEAP, {}), data: data.path, ...options };
  const faulty = faultyNode(data.path);
  const router = faulty?.router;
  if (faulty !== undefined) {
    parts = { ...faulty.parts, ...parts };
    expectFaults(faulty.router);
  }
  let node = await startNode(all, parts);
  const api = new Api(node.url, data.apiKey);
  const devices = new Set<Device>();
  const drain = async () => {
    await within("the node to drain", node.drain());
    router?.down();
  };
  return {
    api,
    dataDirectory: data.path,
    get url() {
      return node.url;
    },
    get port() {
      return Number(new URL(node.url).port);
    },
    async connect(who, cursor) {
      const device = await Device.connect(node.url, who, cursor);
      devices.add(device);
      return device;
    },
    async restart(changes = {}, between = () => {}) {
      await drain();
      between();
      node = await startNode({ ...all, ...changes }, parts);
      api.url = node.url;
    },
    async stop() {
      for (const device of devices) device.terminate();
      await drain();
      if (router !== undefined) forgetFaults(router);
      data.remove();
    },
  };
}
