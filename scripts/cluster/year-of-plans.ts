/** A simulated year of a cluster: shards grow, nodes join and leave, and each time the planner says what moves. */
import type { NodeId } from "../../src/cluster/map/partition-map.ts";
import { balanceOf, planMoves } from "../../src/cluster/map/plan-moves.ts";
import { shardLoads, type BalancedBy } from "../../src/cluster/map/shard-loads.ts";
import { ALL_SHARDS, type ShardId } from "../../storage/types.ts";

export type YearOptions = { nodes: number; days: number; seed: number; by: BalancedBy; tolerance: number };

export type PlanOfDay = {
  day: number;
  event: "join" | "leave" | "growth";
  nodes: number;
  moves: number;
  /** Bytes, or load, that moved; and the least that any plan would move for the shares to be exact. */
  moved: number;
  least: number;
  /** The fullest node's load over its share, after. */
  fullest: number;
  /** What `fullest` would be if the heaviest shard were alone on its node: no plan gets below it, if it is above 1. */
  indivisible: number;
};

/** xorshift32: the same seed gives the same year. */
function drawer(seed: number): () => number {
  let state = (seed ^ 0x9e3779b9) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Days between changes, on average. */
const JOIN_DAYS = 14;
const LEAVE_DAYS = 21;
const LOOK_DAYS = 30;

export function yearOfPlans({ nodes, days, seed, by, tolerance }: YearOptions): PlanOfDay[] {
  const draw = drawer(seed);
  // Skewed: most shards are small, a few have many times the average.
  const pace = ALL_SHARDS.map(() => 1_000_000 * (1 - draw()) ** -0.7);
  const bytes = new Map<ShardId, number>(ALL_SHARDS.map((shard) => [shard, pace[shard]! * 30]));
  let last = nodes;
  let alive = Array.from({ length: nodes }, (_, at) => `n${at + 1}` as NodeId);
  const owners = ALL_SHARDS.map((shard) => alive[shard % alive.length]!);
  const plans: PlanOfDay[] = [];
  const plan = (day: number, event: PlanOfDay["event"], leaving?: NodeId): void => {
    const loads = shardLoads(bytes, by);
    const weights = new Map(
      [...alive, ...(leaving === undefined ? [] : [leaving])].map((node) => [node, node === leaving ? 0 : 1]),
    );
    const moves = planMoves(owners, loads, weights, tolerance);
    const least = balanceOf(owners, loads, weights).reduce(
      (sum, { load, target }) => sum + Math.max(0, load - target),
      0,
    );
    for (const { shard, to } of moves) owners[shard] = to;
    const after = balanceOf(owners, loads, weights).filter(({ target }) => target > 0);
    plans.push({
      day,
      event,
      nodes: alive.length,
      moves: moves.length,
      moved: moves.reduce((sum, { shard }) => sum + loads[shard]!, 0),
      least,
      fullest: Math.max(...after.map(({ load, target }) => load / target)),
      indivisible: Math.max(...loads) / after[0]!.target,
    });
  };
  for (let day = 1; day <= days; day++) {
    for (const shard of ALL_SHARDS) bytes.set(shard, bytes.get(shard)! + pace[shard]! * (0.5 + draw()));
    if (draw() < 1 / JOIN_DAYS && alive.length < 1000) {
      alive = [...alive, `n${++last}` as NodeId];
      plan(day, "join");
    }
    if (draw() < 1 / LEAVE_DAYS && alive.length > 2) {
      const leaving = alive[Math.floor(draw() * alive.length)]!;
      alive = alive.filter((node) => node !== leaving);
      plan(day, "leave", leaving);
    }
    if (day % LOOK_DAYS === 0) plan(day, "growth");
  }
  return plans;
}
