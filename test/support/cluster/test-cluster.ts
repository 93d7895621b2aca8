/** Several nodes in this process, on free ports, with a map that divides the shards among the first of them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseOptions } from "../../../src/cli/options.ts";
import { SERVE_OPTIONS, type ServeOptions } from "../../../src/cli/serve-options.ts";
import { AdminClient } from "../../../src/cluster/admin-client.ts";
import { makeMap } from "../../../src/cluster/map/make-map.ts";
import { writeMap } from "../../../src/cluster/map/map-file.ts";
import type { MapNode, NodeId, PartitionMap } from "../../../src/cluster/map/partition-map.ts";
import { adminSecretOf } from "../../../src/node/cluster/cluster-settings.ts";
import { startNode, type NodeParts } from "../../../src/node/node.ts";
import type { RunningNode } from "../../../src/cli/serve.ts";
import { addApiKey } from "../data-directory.ts";
import { UNHURRIED } from "../test-process.ts";
import { within } from "../wait.ts";

const CHEAP = ["--argon2-memory-kb", "8", "--argon2-passes", "1", "--log-level", "info", ...UNHURRIED];

const SECRET = "a secret that only this test knows, and no other";

export type TestCluster = {
  readonly ids: readonly NodeId[];
  readonly apiKey: string;
  url(node: string): string;
  stop(node: string): Promise<void>;
  start(node: string, changes?: Partial<ServeOptions>): Promise<void>;
  dataOf(node: string): string;
  /** Signs the operator's calls. */
  readonly admin: AdminClient;
  readonly mapFile: string;
  readonly secretFile: string;
  /** The directory of all of it, which is removed at the end. */
  readonly root: string;
  end(): Promise<void>;
};

/** Counts the ends of links that were told ready. */
class LinkCount {
  #count = 0;
  #wanted = 0;
  #wake = (): void => {};

  readonly log = (line: string): void => {
    const { message, level } = JSON.parse(line) as { message: string; level: string };
    if (level === "error") process.stderr.write(line);
    if (message === "the link to a node is ready" && ++this.#count >= this.#wanted) this.#wake();
  };

  /** Waits for so many more than were waited for before. */
  async reach(more: number): Promise<void> {
    this.#wanted += more;
    if (this.#count >= this.#wanted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    await within("the nodes to have links", promise);
  }
}

/** A port that was free a moment ago. */
function freePort(): number {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  const port = server.port!;
  void server.stop(true);
  return port;
}

export async function startTestCluster(
  owning: number,
  edges: number,
  options: Partial<ServeOptions> = {},
  parts: NodeParts = {},
  /** Nodes of which the map says that clients reach them. */
  isPublic: (node: NodeId) => boolean = () => false,
  change: (map: PartitionMap) => PartitionMap = (made) => made,
): Promise<TestCluster> {
  const root = mkdtempSync(join(tmpdir(), "parley-cluster-"));
  const ids = [
    ...Array.from({ length: owning }, (_, at) => `n${at + 1}` as NodeId),
    ...Array.from({ length: edges }, (_, at) => `edge${at + 1}` as NodeId),
  ];
  const ports = new Map(ids.map((id) => [id, freePort()]));
  const nodes = new Map<NodeId, MapNode>(
    ids.map((id) => {
      const url = `http://127.0.0.1:${ports.get(id)}`;
      return [id, isPublic(id) ? { url, publicUrl: url } : { url }];
    }),
  );
  const map = join(root, "partition-map.json");
  writeFileSync(map, writeMap(change(makeMap("test", nodes, ids.slice(0, owning)))));
  const clusterSecretFile = join(root, "secret");
  writeFileSync(clusterSecretFile, SECRET);
  const running = new Map<string, RunningNode>();
  const links = new LinkCount();
  const dataOf = (id: string): string => join(root, id);
  for (const id of ids) await Bun.write(join(dataOf(id), ".keep"), "");
  const apiKey = await addApiKey(dataOf(ids[0]!));
  const start = async (id: string, changes: Partial<ServeOptions> = {}): Promise<void> => {
    const own = ["--port", String(ports.get(id as NodeId)), "--node", id, "--map", map];
    const parsed = parseOptions(SERVE_OPTIONS, [...CHEAP, ...own, "--cluster-secret-file", clusterSecretFile], {});
    running.set(
      id,
      await startNode({ ...parsed, data: dataOf(id), ...options, ...changes }, { log: links.log, ...parts }),
    );
    await links.reach(2 * (running.size - 1));
  };
  const stop = async (id: string): Promise<void> => {
    const node = running.get(id);
    running.delete(id);
    if (node !== undefined) await within(`${id} to drain`, node.drain());
  };
  for (const id of ids) await start(id);
  return {
    ids,
    apiKey,
    url: (id) => nodes.get(id as NodeId)!.url,
    dataOf,
    admin: new AdminClient(adminSecretOf(SECRET)),
    mapFile: map,
    secretFile: clusterSecretFile,
    root,
    start,
    stop,
    async end() {
      for (const id of [...running.keys()]) await stop(id);
      rmSync(root, { recursive: true, force: true });
    },
  };
}
