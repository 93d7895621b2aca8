/**
 * The partition map as JSON, for files and for links:
 *
 *     { "parley": "partition-map", "format": 1, "cluster": "…", "mapVersion": 3,
 *       "nodes":    { "n1": { "url": "http://10.0.0.1:8080" }, … },
 *       "owners":   { "n1": "0-332,500", "n2": "333-499,501-999" },
 *       "founders": { "n1": "0-999" },
 *       "terms":    { "2": "333-499" } }
 *
 * `founders` is absent where it equals `owners`. `terms` names the shards that were moved: all others are in term 1.
 */
import { NAME_PATTERN } from "../../domain/address.ts";
import { SHARD_COUNT, type ShardId } from "../../../storage/types.ts";
import { FIRST_TERM, type MapNode, type NodeId, type PartitionMap } from "./partition-map.ts";
import { repeatedName } from "./repeated-name.ts";
import { readRanges, writeRanges } from "./shard-ranges.ts";

const FORMAT = 1;
const NODES_MAX = 10_000;

/** A map that cannot be used, and why. */
export class MapError extends Error {
  override readonly name = "MapError";
}

export function writeMap(map: PartitionMap): string {
  const { cluster, mapVersion, nodes, owners, founders, terms } = map;
  const isAsFounded = owners.every((owner, shard) => owner === founders[shard]);
  const value = {
    parley: "partition-map",
    format: FORMAT,
    cluster,
    mapVersion,
    nodes: Object.fromEntries(nodes),
    owners: rangesOf(owners),
    ...(isAsFounded ? {} : { founders: rangesOf(founders) }),
    ...(terms.every((term) => term === FIRST_TERM) ? {} : { terms: writeTerms(terms) }),
  };
  return `${JSON.stringify(value, null, 2)}\n`;
}

function writeTerms(terms: readonly number[]): Record<string, string> {
  const moved = Map.groupBy(terms.keys(), (shard) => terms[shard]!);
  const entries = [...moved].filter(([term]) => term !== FIRST_TERM).toSorted(([a], [b]) => a - b);
  return Object.fromEntries(entries.map(([term, shards]) => [term, writeRanges(shards as ShardId[])]));
}

function rangesOf(owners: readonly NodeId[]): Record<string, string> {
  const shards = new Map<NodeId, ShardId[]>();
  for (const [shard, owner] of owners.entries()) {
    const own = shards.get(owner);
    if (own === undefined) shards.set(owner, [shard as ShardId]);
    else own.push(shard as ShardId);
  }
  return Object.fromEntries(
    [...shards].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([node, own]) => [node, writeRanges(own)]),
  );
}

/** @throws MapError that says what is wrong with it */
export function readMap(text: string): PartitionMap {
  const { parley, format, cluster, mapVersion, nodes, owners, founders, terms } = objectOf(text);
  if (parley !== "partition-map") throw new MapError('it is no partition map: "parley" is not "partition-map"');
  if (format !== FORMAT) throw new MapError(`its format is ${String(format)}, and this version knows format ${FORMAT}`);
  if (typeof cluster !== "string" || !NAME_PATTERN.test(cluster)) throw new MapError('"cluster" is no name');
  if (!Number.isSafeInteger(mapVersion) || (mapVersion as number) < 1)
    throw new MapError('"mapVersion" is no whole number from 1');
  const known = nodesOf(nodes);
  const owned = ownersOf("owners", owners, known, "belongs to no node");
  // A founder may have left the cluster.
  const founded = founders === undefined ? owned : ownersOf("founders", founders, undefined, "has no founder");
  return {
    cluster,
    mapVersion: mapVersion as number,
    nodes: known,
    owners: owned,
    founders: founded,
    terms: termsOf(terms ?? {}),
  };
}

function termsOf(value: unknown): number[] {
  if (typeof value !== "object" || value === null) throw new MapError('"terms" is no object');
  const terms = Array.from({ length: SHARD_COUNT }, () => FIRST_TERM);
  for (const [text, ranges] of Object.entries(value as Record<string, unknown>)) {
    const term = Number(text);
    if (!Number.isSafeInteger(term) || term <= FIRST_TERM)
      throw new MapError(`"terms" names ${text.slice(0, 40)}, which is no term`);
    for (const shard of shardsIn(`"terms" of ${text}`, ranges)) terms[shard] = term;
  }
  return terms;
}

function objectOf(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new MapError("it is not JSON");
  }
  const twice = repeatedName(text);
  if (twice !== undefined) throw new MapError(`it names ${JSON.stringify(twice.slice(0, 64))} twice`);
  if (typeof value !== "object" || value === null) throw new MapError("it is no JSON object");
  return value as Record<string, unknown>;
}

function nodesOf(value: unknown): Map<NodeId, MapNode> {
  if (typeof value !== "object" || value === null) throw new MapError('"nodes" is missing');
  const entries = Object.entries(value as Record<string, Partial<MapNode> | null>);
  if (entries.length === 0) throw new MapError('"nodes" names no node');
  if (entries.length > NODES_MAX) throw new MapError(`it has ${entries.length} nodes, the most is ${NODES_MAX}`);
  const urls = new Map<string, string>();
  return new Map(
    entries.map(([id, node]) => {
      if (!NAME_PATTERN.test(id)) throw new MapError(`${JSON.stringify(id.slice(0, 64))} is no name of a node`);
      const url = urlOf(id, "url", node?.url);
      const other = urls.get(url);
      if (other !== undefined) throw new MapError(`${other} and ${id} have the same url, ${url}`);
      urls.set(url, id);
      const publicUrl = node?.publicUrl === undefined ? undefined : urlOf(id, "publicUrl", node.publicUrl);
      return [id as NodeId, publicUrl === undefined ? { url } : { url, publicUrl }];
    }),
  );
}

function urlOf(node: string, field: string, value: unknown): string {
  if (typeof value !== "string" || !URL.canParse(value) || !/^https?:$/.test(new URL(value).protocol))
    throw new MapError(`${field} of ${node} is no http or https URL`);
  return new URL(value).origin;
}

function ownersOf(
  field: string,
  value: unknown,
  nodes: ReadonlyMap<NodeId, MapNode> | undefined,
  missing: string,
): readonly NodeId[] {
  if (typeof value !== "object" || value === null) throw new MapError(`"${field}" is missing`);
  const owners: (NodeId | undefined)[] = Array.from({ length: SHARD_COUNT });
  for (const [id, ranges] of Object.entries(value as Record<string, unknown>)) {
    if (nodes?.has(id as NodeId) === false)
      throw new MapError(`"${field}" names ${JSON.stringify(id.slice(0, 64))}, which is not among "nodes"`);
    for (const shard of shardsIn(`"${field}" of ${id}`, ranges)) {
      const other = owners[shard];
      if (other !== undefined) throw new MapError(`shard ${shard} is ${other}'s and ${id}'s in "${field}"`);
      owners[shard] = id as NodeId;
    }
  }
  const none = owners.findIndex((owner) => owner === undefined);
  if (none >= 0) throw new MapError(`shard ${none} ${missing}`);
  return owners as NodeId[];
}

function shardsIn(what: string, ranges: unknown): ShardId[] {
  if (typeof ranges !== "string") throw new MapError(`${what}: no text like "0-499,700"`);
  try {
    return readRanges(ranges);
  } catch (error) {
    throw new MapError(`${what}: ${(error as Error).message}`);
  }
}
