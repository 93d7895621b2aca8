/** Shards of a test's cluster, and their moves. */
import {
  groupAddress,
  shardOf,
  userAddress,
  type Address,
  type GroupId,
  type UserId,
} from "../../../src/domain/address.ts";
import type { NodeStatus } from "../../../src/node/cluster/admin.ts";
import type { ShardId } from "../../../storage/types.ts";
import { until } from "../wait.ts";
import type { TestCluster } from "./test-cluster.ts";

const RATE = 100_000_000;
const HALF = 500;

export const shardOfUser = (name: string): ShardId => shardOf(userAddress(name as UserId));
export const shardOfGroup = (name: string): ShardId => shardOf(groupAddress(name as GroupId));

/** A name whose shard is at the first of two nodes, or at the second. */
export function nameAt(node: 1 | 2, name: string, kind: "@" | "#" = "@"): string {
  const isAtFirst = (full: string): boolean => shardOf(`${kind}${full}` as Address) < HALF;
  for (let at = 0; ; at++) if (isAtFirst(`${name}${at}`) === (node === 1)) return `${name}${at}`;
}

/** Moves a shard, and waits until the next node serves it. A move that fails leaves it where it is, and is begun again. */
export async function move({ admin, url }: TestCluster, shard: ShardId, from: string, to: string): Promise<void> {
  const begin = (): Promise<unknown> => admin.call(url(to), "POST", "moves", { shard, from, rate: RATE });
  await begin();
  await until(`shard ${shard} has moved to ${to}`, async () => {
    const { moves }: NodeStatus = await admin.call(url(to), "GET", "status");
    const report = moves.find((one) => one.shard === shard);
    if (report?.state === "failed") process.stderr.write(`shard ${shard}, ${from} to ${to}: ${report.why}\n`);
    if (report?.state === "failed") await begin();
    return report?.state === "done";
  });
}
