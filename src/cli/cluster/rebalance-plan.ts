/** `parley rebalance plan`: which shards would move, and how many bytes. It changes nothing. */
import { resolve } from "node:path";
import { nodeWeights, PlanError, type Wish } from "../../cluster/map/node-weights.ts";
import { fingerprintOf, type NodeId, type PartitionMap } from "../../cluster/map/partition-map.ts";
import { balanceOf, planMoves } from "../../cluster/map/plan-moves.ts";
import { BALANCED_BY, shardLoads, type BalancedBy } from "../../cluster/map/shard-loads.ts";
import type { NodeStatus } from "../../node/cluster/admin.ts";
import type { ShardId } from "../../../storage/types.ts";
import type { SubCommand } from "../command-group.ts";
import { EXIT_STATUS, FatalError } from "../fatal-error.ts";
import { integer, oneOf, parseOptions } from "../options.ts";
import { counted, formatBytes, table } from "../tool-options.ts";
import {
  adminClient,
  free,
  JSON_OBJECT,
  MAP,
  mapFrom,
  mustBeNew,
  OUTPUT,
  readMapFile,
  required,
  SECRET_FILE,
} from "./cluster-options.ts";
import { askNodes, listed, mustHaveMap, ownershipsOf } from "./cluster-view.ts";
import { newPlan, writePlan, type PlanFile } from "./plan-file.ts";

const OPTIONS = {
  map: MAP,
  secretFile: SECRET_FILE,
  add: free("NAME,…", "nodes of the map that own nothing yet and shall have a share"),
  drain: free("NAME,…", "nodes that shall own nothing"),
  weights: free("NAME=N,…", "shares relative to each other; a node that owns shards and is not named has 1"),
  by: oneOf({
    section: "Options",
    summary: "what is divided evenly: the number of shards, their bytes, or each half",
    initial: "both",
    choices: BALANCED_BY,
  }),
  tolerance: integer({
    section: "Options",
    summary: "percent by which a node may be off its share of bytes before a shard moves",
    initial: 2,
    min: 0,
    max: 100,
  }),
  output: OUTPUT,
  json: JSON_OBJECT,
};

export const rebalancePlan: SubCommand = {
  name: "plan",
  usage: "rebalance plan --map FILE --secret-file FILE --add|--drain|--weights … -o FILE",
  summary: "plan which shards move; changes nothing",
  note: "Every node must answer, because each knows the sizes of its own shards.",
  options: OPTIONS,
  run: async (args, io) => {
    const options = parseOptions(OPTIONS, args, io.env);
    const output = required(options.output, "-o FILE");
    const path = required(options.map, "--map FILE");
    const wish = readWish(options);
    const map = await readMapFile(path);
    const weights = weightsOf(map, map.owners, wish);
    mustBeNew(output, "the plan");
    const { owners, bytes } = await measured(path, map, options.secretFile);
    const loads = shardLoads(bytes, options.by);
    const tolerance = options.by === "count" ? 0 : options.tolerance / 100;
    // Shards may have moved since the map was written.
    const all = owners.every((owner, shard) => owner === map.owners[shard]) ? weights : weightsOf(map, owners, wish);
    const steps = planMoves(owners, loads, all, tolerance).map((move) => ({
      ...move,
      bytes: bytes.get(move.shard) ?? 0,
    }));
    const plan = newPlan(map, { by: options.by, mapFile: resolve(path), steps });
    await writePlan(output, plan);
    const shares = sharesOf(owners, plan, all, bytes, options.by);
    io.stdout(
      options.json
        ? `${JSON.stringify({ file: output, ...summary(plan), nodes: shares })}\n`
        : asText(output, plan, shares),
    );
    return EXIT_STATUS.ok;
  },
};

function readWish(options: { add: string | undefined; drain: string | undefined; weights: string | undefined }): Wish {
  const names = (given: string | undefined): NodeId[] => (given === undefined ? [] : (given.split(",") as NodeId[]));
  const weights = new Map<NodeId, number>();
  for (const part of names(options.weights)) {
    const [, node, weight] = /^([^=]+)=(\d+(?:\.\d+)?)$/.exec(part) ?? [];
    if (node === undefined)
      throw new FatalError("usage", `--weights: ${JSON.stringify(part.slice(0, 64))} is not NAME=NUMBER`);
    if (weights.has(node as NodeId)) throw new FatalError("usage", `--weights: ${node} is named twice`);
    weights.set(node as NodeId, Number(weight));
  }
  return { add: names(options.add), drain: names(options.drain), weights };
}

function weightsOf(map: PartitionMap, owners: readonly NodeId[], wish: Wish): Map<NodeId, number> {
  try {
    return nodeWeights(map.nodes.keys(), owners, wish);
  } catch (cause) {
    if (!(cause instanceof PlanError)) throw cause;
    throw new FatalError("usage", cause.message, { hint: cause.hint ?? "nothing was changed", cause });
  }
}

/** Owners and sizes as the nodes say. @throws FatalError if one does not answer, or has another map */
async function measured(
  path: string,
  map: PartitionMap,
  secretFile: string | undefined,
): Promise<{ owners: NodeId[]; bytes: Map<ShardId, number> }> {
  const { answered, silent } = await askNodes<NodeStatus>(await adminClient(secretFile), map, "status");
  const away = [...silent.keys()];
  if (away.length > 0)
    throw new FatalError("failed", `${listed(away)}: ${silent.get(away[0]!)}`, {
      hint: "a plan needs all nodes of the map: start them, or take one that owns nothing out with parley map remove",
    });
  for (const [node, status] of answered) {
    const theirs = mapFrom(node, status.map);
    mustHaveMap(path, map, node, { mapVersion: theirs.mapVersion, fingerprint: fingerprintOf(theirs) });
  }
  const owners = ownershipsOf(map, answered.values()).map(({ node }) => node);
  const bytes = new Map<ShardId, number>();
  for (const [node, status] of answered)
    for (const [shard, size] of Object.entries(status.bytes))
      if (owners[Number(shard)] === node) bytes.set(Number(shard) as ShardId, size);
  return { owners, bytes };
}

export type ShareRow = {
  node: NodeId;
  shards: number;
  shardsAfter: number;
  bytes: number;
  bytesAfter: number;
  /** The load over what it should be; 1 is exact. Absent for a node that shall own nothing. */
  ofShareAfter?: number;
};

function sharesOf(
  owners: readonly NodeId[],
  { steps }: PlanFile,
  weights: ReadonlyMap<NodeId, number>,
  bytes: ReadonlyMap<ShardId, number>,
  by: BalancedBy,
): ShareRow[] {
  const after = [...owners];
  for (const { shard, to } of steps) after[shard] = to;
  const sum = (of: readonly NodeId[], node: NodeId, value: (shard: ShardId) => number): number =>
    of.reduce((all, owner, shard) => (owner === node ? all + value(shard as ShardId) : all), 0);
  return balanceOf(after, shardLoads(bytes, by), weights)
    .filter(({ node }) => weights.get(node)! > 0 || owners.includes(node))
    .map(({ node, load, target }) => ({
      node,
      shards: sum(owners, node, () => 1),
      shardsAfter: sum(after, node, () => 1),
      bytes: sum(owners, node, (shard) => bytes.get(shard) ?? 0),
      bytesAfter: sum(after, node, (shard) => bytes.get(shard) ?? 0),
      ...(target > 0 ? { ofShareAfter: Math.round((load / target) * 1000) / 1000 } : {}),
    }));
}

const summary = ({ mapVersion, by, steps }: PlanFile) => ({
  mapVersion,
  by,
  moves: steps.length,
  bytes: steps.reduce((sum, { bytes }) => sum + bytes, 0),
  steps: steps.map(({ shard, from, to, bytes }) => ({ shard, from, to, bytes })),
});

function asText(path: string, plan: PlanFile, shares: readonly ShareRow[]): string {
  const { moves, bytes } = summary(plan);
  const pairs = Map.groupBy(plan.steps, ({ from, to }) => `${from} → ${to}`);
  const rows = [...pairs]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([pair, steps]) => [
      pair,
      counted(steps.length, "shard"),
      formatBytes(steps.reduce((sum, step) => sum + step.bytes, 0)),
    ]);
  const nodes = shares.map((row) => [
    row.node,
    `${row.shards} → ${row.shardsAfter}`,
    `${formatBytes(row.bytes)} → ${formatBytes(row.bytesAfter)}`,
    row.ofShareAfter === undefined ? "none left" : `${Math.round(row.ofShareAfter * 100)} % of its share`,
  ]);
  if (moves === 0) return `${path}: nothing needs to move; every node is near its share\n${table(nodes)}`;
  return (
    `${path}: ${counted(moves, "shard")}, ${formatBytes(bytes)} to move; nothing was changed\n\n` +
    `${table(rows, [1, 2])}\n${table([["node", "shards", "bytes", "after"], ...nodes])}\n` +
    `next: parley rebalance apply ${path} --secret-file FILE\n`
  );
}
