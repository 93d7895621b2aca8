/** Which owner of a shard counts, and which maps are refused. */
import { expect, test } from "bun:test";
import { createLogger } from "../../src/base/logger.ts";
import { makeMap } from "../../src/cluster/map/make-map.ts";
import { MapError, readMap, writeMap } from "../../src/cluster/map/map-file.ts";
import { Maps, type OwnedBy } from "../../src/cluster/map/maps.ts";
import type { MapNode, NodeId, PartitionMap } from "../../src/cluster/map/partition-map.ts";
import type { ShardId } from "../../storage/types.ts";

const [N1, N2, N3] = ["n1", "n2", "n3"] as [NodeId, NodeId, NodeId];
const NODES = new Map<NodeId, MapNode>([N1, N2, N3].map((id) => [id, { url: `http://${id}:1` }]));
const MAP = makeMap("c", NODES, [N1, N2]);
const SHARD = 7 as ShardId;

function begin(): { maps: Maps; told: string[]; saved: OwnedBy[][] } {
  const told: string[] = [];
  const saved: OwnedBy[][] = [];
  const maps = new Maps(MAP, {
    logger: createLogger(
      "fatal" as "error",
      () => {},
      () => 0,
    ),
    save: () => {},
    saveMoved: (moved) => saved.push([...moved]),
    onOwner: (shard, before, now) => told.push(`${shard}: ${before} ${now}`),
  });
  return { maps, told, saved };
}

const changed = (changes: Partial<PartitionMap>): string => writeMap({ ...MAP, mapVersion: 2, ...changes });
const withShard = <Value>(list: readonly Value[], value: Value): Value[] =>
  list.map((one, shard) => (shard === SHARD ? value : one));

test("of two owners the one in the later term counts, in whatever order they are heard", () => {
  const { maps, told, saved } = begin();
  expect(maps.learnOwner({ shard: SHARD, node: N3, term: 3 })).toBe(true);
  expect(maps.learnOwner({ shard: SHARD, node: N2, term: 2 })).toBe(false);
  expect(maps.learnOwner({ shard: SHARD, node: N2, term: 3 })).toBe(false);
  expect(maps.ownerOf(SHARD)).toBe(N3);
  expect(told).toEqual(["7: n1 n3"]);
  expect(saved).toEqual([[{ shard: SHARD, node: N3, term: 3 }]]);
});

test("a newer map does not take back a move that it does not know", () => {
  const { maps } = begin();
  maps.learnOwner({ shard: SHARD, node: N3, term: 2 });
  expect(maps.learn(changed({}))).toBe(true);
  expect(maps.ownerOf(SHARD)).toBe(N3);
  const known = { owners: withShard(MAP.owners, N3), terms: withShard(MAP.terms, 2), founders: MAP.founders };
  expect(maps.learn(changed({ ...known, mapVersion: 3 }))).toBe(true);
  expect([...maps.moved()]).toEqual([]);
  // A map with terms from before that one, under a higher version.
  expect(maps.learn(changed({ mapVersion: 4 }))).toBe(true);
  expect(maps.ownershipOf(SHARD)).toEqual({ shard: SHARD, node: N3, term: 2 });
});

test("an older map, or one of another cluster, changes nothing", () => {
  const { maps } = begin();
  expect(maps.learn(changed({ mapVersion: 1, owners: withShard(MAP.owners, N2) }))).toBe(false);
  expect(maps.learn(changed({ cluster: "other" }))).toBe(false);
  expect(maps.current).toBe(MAP);
});

test("a map in which two nodes would claim a shard is refused", () => {
  const { maps, told } = begin();
  const owners = withShard(MAP.owners, N2);
  expect(() => maps.learn(changed({ owners, founders: MAP.founders }))).toThrow(MapError);
  expect(() => maps.learn(changed({ owners, founders: owners }))).toThrow('"founders" never changes');
  maps.learnOwner({ shard: SHARD, node: N3, term: 2 });
  const terms = withShard(MAP.terms, 2);
  expect(() => maps.learn(changed({ owners, founders: MAP.founders, terms }))).toThrow("is n3's in term 2");
  expect(told).toEqual(["7: n1 n3"]);
  expect(maps.current).toBe(MAP);
});

test("a map is the same after it was written and read", () => {
  const moved = { ...MAP, owners: withShard(MAP.owners, N3), terms: withShard(MAP.terms, 5) };
  expect(readMap(writeMap(moved))).toEqual(moved);
});
