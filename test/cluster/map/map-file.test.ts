/** A map that cannot be used is refused, with words that name what is wrong with it. */
import { expect, test } from "bun:test";
import { MapError, readMap, writeMap } from "../../../src/cluster/map/map-file.ts";
import { makeMap } from "../../../src/cluster/map/make-map.ts";
import { repeatedName } from "../../../src/cluster/map/repeated-name.ts";
import { isSameMap, type MapNode, type NodeId } from "../../../src/cluster/map/partition-map.ts";

const nodes = new Map<NodeId, MapNode>([
  ["n1" as NodeId, { url: "http://10.0.0.1:8080" }],
  ["n2" as NodeId, { url: "http://10.0.0.2:8080", publicUrl: "https://chat.example" }],
  ["e1" as NodeId, { url: "http://10.0.0.3:8080" }],
]);
const MAP = makeMap("test", nodes, ["n1" as NodeId, "n2" as NodeId]);

type Loose = Record<string, unknown> & { nodes: Record<string, unknown>; owners: Record<string, unknown> };

function changed(change: (map: Loose) => void): string {
  const value = JSON.parse(writeMap(MAP)) as Loose;
  change(value);
  return JSON.stringify(value);
}

test("a map is read as it was written", () => {
  expect(isSameMap(readMap(writeMap(MAP)), MAP)).toBeTrue();
  const moved = { ...MAP, mapVersion: 2, owners: MAP.owners.with(7, "n2" as NodeId), terms: MAP.terms.with(7, 2) };
  expect(readMap(writeMap(moved))).toEqual(moved);
});

test.each<[string, (map: Loose) => void, string]>([
  ["a shard missing", (map) => (map.owners["n1"] = "0-498"), "shard 499 belongs to no node"],
  ["a shard owned twice", (map) => (map.owners["n2"] = "499-999"), "shard 499 is n1's and n2's in \"owners\""],
  ["a shard named twice", (map) => (map.owners["n1"] = "0-499,7"), "shard 7 is n1's and n1's in \"owners\""],
  ["an unknown owner", (map) => (map.owners = { n1: "0-499", n7: "500-999" }), '"owners" names "n7"'],
  ["two nodes at one address", (map) => (map.nodes["e1"] = map.nodes["n1"]), "n1 and e1 have the same url"],
  ["no nodes", (map) => (map.nodes = {}), '"nodes" names no node'],
  ["a bad name", (map) => (map.nodes["N 1"] = { url: "http://a" }), '"N 1" is no name of a node'],
  ["a bad url", (map) => (map.nodes.n1 = { url: "10.0.0.1:8080" }), "url of n1 is no http or https URL"],
  [
    "a bad public url",
    (map) => (map.nodes["n1"] = { url: "http://a", publicUrl: "ftp://x" }),
    "publicUrl of n1 is no http or https URL",
  ],
  ["a bad range", (map) => (map.owners["n1"] = "0-1000"), '"0-1000" is no range of shards from 0 to 999'],
  ["no owners", (map) => Reflect.deleteProperty(map, "owners"), '"owners" is missing'],
  ["a founder missing", (map) => (map["founders"] = { gone: "1-999" }), "shard 0 has no founder"],
  ["a term that is none", (map) => (map["terms"] = { 1: "0-3" }), '"terms" names 1, which is no term'],
  ["a shard of no term", (map) => (map["terms"] = { 2: 5 }), '"terms" of 2: no text like'],
  ["no version", (map) => (map["mapVersion"] = 0), '"mapVersion" is no whole number from 1'],
  ["no cluster", (map) => (map["cluster"] = ""), '"cluster" is no name'],
  ["another format", (map) => (map["format"] = 2), "its format is 2, and this version knows format 1"],
  ["another file", (map) => (map["parley"] = "manifest"), "it is no partition map"],
])("refuses %s", (_, change, words) => {
  expect(() => readMap(changed(change))).toThrow(MapError);
  expect(() => readMap(changed(change))).toThrow(words);
});

test("refuses what is no map at all", () => {
  expect(() => readMap("")).toThrow("it is not JSON");
  expect(() => readMap("[1")).toThrow("it is not JSON");
  expect(() => readMap("7")).toThrow("it is no JSON object");
});

test("a name may be in several objects, and in texts", () => {
  expect(repeatedName('{"a": {"b": "a: {\\"a\\": 1}", "a": [{"a": 1}, {"a": 2}]}, "b": "a"}')).toBeUndefined();
  expect(repeatedName('{"b": {"a": 1, "\\u0061": 2}}')).toBe("a");
});

test("refuses a node id that is used twice", () => {
  const twice = writeMap(MAP).replace('"e1":', '"n1":');
  expect(() => readMap(twice)).toThrow('it names "n1" twice');
});
