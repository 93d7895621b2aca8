/** Which share of the shards each node should have, by what the operator asked for. */
import type { NodeId } from "./partition-map.ts";

/** What the operator wants to change. */
export type Wish = {
  /** Nodes of the map that own nothing yet and shall own a share. */
  readonly add: readonly NodeId[];
  /** Nodes that shall own nothing. */
  readonly drain: readonly NodeId[];
  /** Shares relative to each other. A node that owns shards and is not named here has 1. */
  readonly weights: ReadonlyMap<NodeId, number>;
};

/** Something was asked for that cannot be planned. */
export class PlanError extends Error {
  override readonly name = "PlanError";
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

export const WEIGHT_MAX = 1000;

/**
 * The weight of every node of the map. A node that owns nothing keeps 0, unless it is added or named in `weights`.
 * @param owners by shard
 * @throws PlanError
 */
export function nodeWeights(
  nodes: Iterable<NodeId>,
  owners: readonly NodeId[],
  { add, drain, weights }: Wish,
): Map<NodeId, number> {
  const owning = new Set(owners);
  const result = new Map([...nodes].map((node) => [node, owning.has(node) ? 1 : 0]));
  if (add.length + drain.length + weights.size === 0) throw new PlanError("nothing is asked for", NOTHING_HINT);
  const known = (node: NodeId): NodeId => {
    if (result.has(node)) return node;
    throw new PlanError(
      `the map has no node ${node}; it has ${[...result.keys()].join(", ")}`,
      "parley map add brings a new node into the map",
    );
  };
  for (const [node, weight] of weights) result.set(known(node), checkedWeight(node, weight));
  for (const node of add) {
    if (owning.has(known(node)))
      throw new PlanError(`${node} owns shards already`, `--weights ${node}=2 gives it twice the share of another`);
    if (weights.get(node) === 0)
      throw new PlanError(`${node} is added, and has the weight 0`, "give it another weight");
    result.set(node, weights.get(node) ?? 1);
  }
  for (const node of drain) {
    if (add.includes(known(node))) throw new PlanError(`${node} is both added and drained`, "name it once");
    if ((weights.get(node) ?? 0) > 0) throw new PlanError(`${node} is drained, and has a weight`, "name it once");
    if (!owning.has(node)) throw new PlanError(`${node} owns no shard, so there is nothing to drain`, DRAINED_HINT);
    result.set(node, 0);
  }
  if ([...result.values()].every((weight) => weight === 0))
    throw new PlanError("no node would be left to own shards", "leave one that is not drained, or add one");
  return result;
}

const NOTHING_HINT = "name nodes with --add, --drain or --weights";
const DRAINED_HINT = "parley map remove takes it out of the map";

function checkedWeight(node: NodeId, weight: number): number {
  if (Number.isFinite(weight) && weight >= 0 && weight <= WEIGHT_MAX) return weight;
  throw new PlanError(`the weight of ${node} is ${weight}`, `give it a number from 0 to ${WEIGHT_MAX}`);
}
