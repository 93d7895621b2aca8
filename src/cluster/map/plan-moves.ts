/**
 * Which shards move so that each node has its share. A pure function of its arguments: the same arguments give the same
 * moves.
 *
 * - A node of weight 0 loses all its shards.
 * - Any other shard moves only if that brings two nodes nearer to their shares, of which at least one is off by more
 *   than the tolerance, and by the shard itself or more.
 * - Planning again after the moves were made plans nothing.
 */
import type { ShardId } from "../../../storage/types.ts";
import type { NodeId } from "./partition-map.ts";

export type PlannedMove = { readonly shard: ShardId; readonly from: NodeId; readonly to: NodeId };

/** Nobody waits for rounding errors. */
const EPSILON = 1e-9;

/** A node while the plan is made. `shards`: heaviest first. */
type Share = {
  readonly node: NodeId;
  readonly weight: number;
  readonly target: number;
  load: number;
  shards: ShardId[];
};

export type Balance = { readonly node: NodeId; readonly target: number; readonly load: number };

/**
 * @param owners by shard id
 * @param loads by shard id, as from shardLoads
 * @param weights of every node that is among the owners, and of those that shall be
 * @param tolerance share of its target by which a node may be off, for example 0.02
 */
export function planMoves(
  owners: readonly NodeId[],
  loads: readonly number[],
  weights: ReadonlyMap<NodeId, number>,
  tolerance: number,
): PlannedMove[] {
  return new Planner(owners, loads, weights, tolerance).moves();
}

/** How much each node has, and how much it should. In order of the nodes' names. */
export function balanceOf(
  owners: readonly NodeId[],
  loads: readonly number[],
  weights: ReadonlyMap<NodeId, number>,
): Balance[] {
  const sum = weights.values().reduce((all, weight) => all + weight, 0);
  const total = loads.reduce((all, load) => all + load, 0);
  const byNode = new Map<NodeId, number>();
  for (const [shard, owner] of owners.entries()) byNode.set(owner, (byNode.get(owner) ?? 0) + loads[shard]!);
  return [...weights]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([node, weight]) => ({ node, target: (total * weight) / sum, load: byNode.get(node) ?? 0 }));
}

class Planner {
  readonly #owners: readonly NodeId[];
  readonly #loads: readonly number[];
  readonly #tolerance: number;
  readonly #shares: Share[];
  readonly #ownerNow: NodeId[];

  constructor(
    owners: readonly NodeId[],
    loads: readonly number[],
    weights: ReadonlyMap<NodeId, number>,
    tolerance: number,
  ) {
    this.#owners = owners;
    this.#ownerNow = [...owners];
    this.#loads = loads;
    this.#tolerance = tolerance;
    const shards = Map.groupBy(owners.keys() as Iterable<ShardId>, (shard) => owners[shard]!);
    this.#shares = balanceOf(owners, loads, weights).map(({ node, target, load }) => ({
      node,
      weight: weights.get(node)!,
      target,
      load,
      shards: (shards.get(node) ?? []).toSorted((a, b) => this.#heavier(a, b)),
    }));
  }

  moves(): PlannedMove[] {
    this.#drain();
    while (this.#improve());
    return this.#owners.flatMap((from, shard) => {
      const to = this.#ownerNow[shard]!;
      return to === from ? [] : [{ shard: shard as ShardId, from, to }];
    });
  }

  #heavier(a: ShardId, b: ShardId): number {
    return this.#loads[b]! - this.#loads[a]! || a - b;
  }

  /** The heaviest first, each to the node that lacks most. */
  #drain(): void {
    const drained = this.#shares.filter(({ weight }) => weight === 0);
    const others = this.#shares.filter(({ weight }) => weight > 0);
    const shards = drained.flatMap((share) => share.shards.map((shard) => ({ shard, share })));
    for (const { shard, share } of shards.toSorted((a, b) => this.#heavier(a.shard, b.shard)))
      this.#move(
        shard,
        share,
        others.reduce((best, other) => (lack(other) > lack(best) + EPSILON ? other : best)),
      );
  }

  /** One move, of the node that has most above its share to the one that lacks most, or of the next such pair. */
  #improve(): boolean {
    const givers = this.#shares.filter((share) => lack(share) < -EPSILON).toSorted((a, b) => lack(a) - lack(b));
    const takers = this.#shares.filter((share) => lack(share) > EPSILON).toSorted((a, b) => lack(b) - lack(a));
    for (const giver of givers)
      for (const taker of takers) {
        if (this.#isNear(giver) && this.#isNear(taker)) continue;
        const shard = this.#choose(giver.shards, -lack(giver), lack(taker));
        if (shard === undefined) continue;
        this.#move(shard, giver, taker);
        return true;
      }
    return false;
  }

  #isNear(share: Share): boolean {
    return Math.abs(lack(share)) <= this.#tolerance * share.target + EPSILON;
  }

  /**
   * The heaviest shard that both nodes have room for. If none has, the shard that leaves them nearest to their shares,
   * provided that one of them is off by as much as that shard.
   */
  #choose(shards: readonly ShardId[], surplus: number, missing: number): ShardId | undefined {
    const room = Math.min(surplus, missing) + EPSILON;
    const fitting = shards.find((shard) => this.#loads[shard]! <= room);
    if (fitting !== undefined) return fitting;
    const off = (shard: ShardId): number => Math.abs(this.#loads[shard]! - (surplus + missing) / 2);
    return shards
      .filter((shard) => {
        const load = this.#loads[shard]!;
        return load < surplus + missing - EPSILON && load <= Math.max(surplus, missing) + EPSILON;
      })
      .toSorted((a, b) => off(a) - off(b) || a - b)[0];
  }

  #move(shard: ShardId, from: Share, to: Share): void {
    const load = this.#loads[shard]!;
    from.shards = from.shards.filter((other) => other !== shard);
    from.load -= load;
    to.load += load;
    const at = to.shards.findIndex((other) => this.#heavier(shard, other) < 0);
    to.shards.splice(at < 0 ? to.shards.length : at, 0, shard);
    this.#ownerNow[shard] = to.node;
  }
}

const lack = ({ target, load }: Share): number => target - load;
