/** The planner, by properties over random maps, sizes and wishes. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { nodeWeights, PlanError, type Wish } from "../../../src/cluster/map/node-weights.ts";
import type { NodeId } from "../../../src/cluster/map/partition-map.ts";
import { balanceOf, planMoves, type PlannedMove } from "../../../src/cluster/map/plan-moves.ts";
import { BALANCED_BY, shardLoads } from "../../../src/cluster/map/shard-loads.ts";
import { ALL_SHARDS, SHARD_COUNT } from "../../../storage/types.ts";
import { seeded } from "../../support/seed.ts";

const NODES = Array.from({ length: 9 }, (_, at) => `n${at + 1}` as NodeId);
const id = (name: string): NodeId => name as NodeId;

/** Who owns which shard: each node has a random part of them. */
const owners = fc
  .array(fc.nat({ max: 20 }), { minLength: 1, maxLength: 6 })
  .filter((parts) => parts.some((part) => part > 0))
  .map((parts) => {
    const all = parts.flatMap((part, at) => Array.from({ length: part }, () => NODES[at]!));
    return ALL_SHARDS.map((shard) => all[(shard * 7) % all.length]!);
  });
/** Most shards are small, some are very large. */
const bytes = fc
  .array(fc.oneof(fc.constant(0), fc.nat({ max: 1000 }), fc.nat({ max: 1_000_000 })), { minLength: 1, maxLength: 40 })
  .map((sizes) => new Map(ALL_SHARDS.map((shard) => [shard, sizes[(shard * 13) % sizes.length]!])));
const by = fc.constantFrom(...BALANCED_BY);
const weights = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 9, maxLength: 9 }).map((values) => {
  const all = new Map(NODES.map((node, at) => [node, values[at]!]));
  return values.every((value) => value === 0) ? all.set(NODES[0]!, 1) : all;
});

function after(before: readonly NodeId[], moves: readonly PlannedMove[]): NodeId[] {
  const now = [...before];
  for (const { shard, from, to } of moves) {
    if (now[shard] !== from || to === from) throw new Error(`shard ${shard} moves from ${from} to ${to}`);
    now[shard] = to;
  }
  return now;
}

const squares = (now: readonly NodeId[], loads: readonly number[], all: ReadonlyMap<NodeId, number>): number =>
  balanceOf(now, loads, all).reduce((sum, { target, load }) => sum + (target - load) ** 2, 0);

test("a shard moves once, away from nodes without weight, and each node comes nearer to its share", () => {
  fc.assert(
    fc.property(owners, bytes, by, weights, (before, sizes, what, all) => {
      const loads = shardLoads(sizes, what);
      const moves = planMoves(before, loads, all, 0.02);
      expect(new Set(moves.map(({ shard }) => shard)).size).toBe(moves.length);
      const now = after(before, moves);
      expect(now.every((owner) => all.get(owner)! > 0)).toBeTrue();
      expect(squares(now, loads, all)).toBeLessThanOrEqual(squares(before, loads, all) + 1e-6);
    }),
    seeded(15),
  );
});

test("the same question has the same answer, and after the moves there is nothing left to plan", () => {
  fc.assert(
    fc.property(owners, bytes, by, weights, (before, sizes, what, all) => {
      const loads = shardLoads(sizes, what);
      const moves = planMoves(before, loads, all, 0.02);
      expect(planMoves(before, loads, new Map([...all].toReversed()), 0.02)).toEqual(moves);
      expect(planMoves(after(before, moves), loads, all, 0.02)).toEqual([]);
    }),
    seeded(15),
  );
});

test("by count, equal nodes differ by one shard at most, and no shard moves that could stay", () => {
  fc.assert(
    fc.property(owners, fc.integer({ min: 1, max: 9 }), (before, count) => {
      const owning = new Set(before);
      const wanted = NODES.slice(0, Math.max(count, ...[...owning].map((node) => NODES.indexOf(node) + 1)));
      const all = new Map(wanted.map((node) => [node, 1]));
      const moves = planMoves(before, shardLoads(new Map(), "count"), all, 0);
      const had = wanted.map((node) => before.filter((owner) => owner === node).length).toSorted((a, b) => b - a);
      const now = after(before, moves);
      const has = wanted.map((node) => now.filter((owner) => owner === node).length);
      expect(Math.max(...has) - Math.min(...has)).toBeLessThanOrEqual(1);
      // The fullest nodes keep the larger quotas.
      const more = SHARD_COUNT % wanted.length;
      const quota = (at: number): number => Math.floor(SHARD_COUNT / wanted.length) + (at < more ? 1 : 0);
      expect(moves.length).toBe(had.reduce((sum, own, at) => sum + Math.max(0, own - quota(at)), 0));
    }),
    seeded(15),
  );
});

test("what moves between nodes that stay is hardly more than what they have above their shares", () => {
  fc.assert(
    fc.property(owners, bytes, by, weights, (before, sizes, what, all) => {
      const loads = shardLoads(sizes, what);
      const moves = planMoves(before, loads, all, 0.02);
      const staying = balanceOf(before, loads, all).filter(({ target }) => target > 0);
      const surplus = staying.reduce((sum, { target, load }) => sum + Math.max(0, load - target), 0);
      const moved = moves.filter(({ from }) => all.get(from)! > 0).reduce((sum, { shard }) => sum + loads[shard]!, 0);
      // Each node may give one shard more than fits.
      expect(moved).toBeLessThanOrEqual(surplus + staying.length * Math.max(...loads) + 1e-6);
    }),
    seeded(15),
  );
});

test("a new node gets its share of bytes and of shards, from all others", () => {
  const before = ALL_SHARDS.map((shard) => NODES[shard % 3]!);
  const sizes = new Map(ALL_SHARDS.map((shard) => [shard, ((shard * 7919) % 1000) * 1000]));
  const all = nodeWeights(NODES.slice(0, 4), before, { add: [id("n4")], drain: [], weights: new Map() });
  const moves = planMoves(before, shardLoads(sizes, "both"), all, 0.02);
  expect(moves.every(({ to }) => to === "n4")).toBeTrue();
  const moved = moves.reduce((sum, { shard }) => sum + sizes.get(shard)!, 0);
  const total = sizes.values().reduce((sum, each) => sum + each, 0);
  expect(moves.length / SHARD_COUNT + moved / total).toBeCloseTo(0.5, 1);
  expect(new Set(moves.map(({ from }) => from)).size).toBe(3);
});

test("empty shards of a drained node are spread", () => {
  const before = ALL_SHARDS.map((shard) => NODES[shard % 3]!);
  const all = nodeWeights(NODES.slice(0, 3), before, { add: [], drain: [id("n1")], weights: new Map() });
  const moves = planMoves(before, shardLoads(new Map(), "bytes"), all, 0.02);
  expect(moves.length).toBe(334);
  expect(moves.filter(({ to }) => to === "n3").length).toBeGreaterThan(100);
});

const NO_WISH: Wish = { add: [], drain: [], weights: new Map() };
const TWO = ALL_SHARDS.map((shard) => NODES[shard % 2]!);
const planned = (wish: Partial<Wish>) => () => nodeWeights(NODES.slice(0, 3), TWO, { ...NO_WISH, ...wish });

test.each<[string, Partial<Wish>, string]>([
  ["nothing", {}, "nothing is asked for"],
  ["an unknown node added", { add: [id("n9")] }, "the map has no node n9; it has n1, n2, n3"],
  ["an unknown node drained", { drain: [id("n9")] }, "the map has no node n9"],
  ["an unknown node weighed", { weights: new Map([[id("n9"), 1]]) }, "the map has no node n9"],
  ["an owner added", { add: [id("n1")] }, "n1 owns shards already"],
  ["a node without shards drained", { drain: [id("n3")] }, "n3 owns no shard, so there is nothing to drain"],
  ["all drained", { drain: [id("n1"), id("n2")] }, "no node would be left to own shards"],
  ["added and drained", { add: [id("n3")], drain: [id("n3")] }, "n3 is both added and drained"],
  [
    "drained with a weight",
    { drain: [id("n1")], weights: new Map([[id("n1"), 2]]) },
    "n1 is drained, and has a weight",
  ],
  ["added without weight", { add: [id("n3")], weights: new Map([[id("n3"), 0]]) }, "n3 is added, and has the weight 0"],
  ["a negative weight", { weights: new Map([[id("n1"), -1]]) }, "the weight of n1 is -1"],
  ["no number as a weight", { weights: new Map([[id("n1"), NaN]]) }, "the weight of n1 is NaN"],
])("refuses %s", (_, wish, words) => {
  expect(planned(wish)).toThrow(PlanError);
  expect(planned(wish)).toThrow(words);
});

test("a node that owns nothing stays so, unless it is added", () => {
  expect(planned({ weights: new Map([[id("n1"), 2]]) })().get(id("n3"))).toBe(0);
  expect(planned({ add: [id("n3")] })().get(id("n3"))).toBe(1);
  expect(planned({ add: [id("n3")], weights: new Map([[id("n3"), 3]]) })().get(id("n3"))).toBe(3);
});
