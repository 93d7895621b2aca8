/**
 * The partition map: which node owns which shard, and where nodes are. It says where to look. Who may write is decided
 * by the records in the shard's own log. It is static: only the operator's commands change it, and each change raises
 * `mapVersion`.
 */
import { SHARD_COUNT, type ShardId } from "../../../storage/types.ts";

declare const brand: unique symbol;
/** Name of a node, as in `NAME_PATTERN`. */
export type NodeId = string & { readonly [brand]: "NodeId" };

/** Of a shard that was never moved. */
export const FIRST_TERM = 1;

export type MapNode = {
  /** Where other nodes connect, for example `http://10.0.0.1:8080`. */
  readonly url: string;
  /** Where clients connect, if that is another address. */
  readonly publicUrl?: string | undefined;
};

export type PartitionMap = {
  /** Id of the cluster, drawn when the map was made. */
  readonly cluster: string;
  /** Rises with each change, from 1. */
  readonly mapVersion: number;
  readonly nodes: ReadonlyMap<NodeId, MapNode>;
  /** Owner of each shard, by shard id. */
  readonly owners: readonly NodeId[];
  /**
   * The node that each shard began on, which never changes. Only that node may serve a shard that has no records: all
   * others need what the owner before them has written.
   */
  readonly founders: readonly NodeId[];
  /** Term of each shard's ownership when the map was made: it rises with each move. */
  readonly terms: readonly number[];
};

export const ownerOf = (map: PartitionMap, shard: ShardId): NodeId => map.owners[shard]!;

/** Shards that a node owns by the map. */
export function shardsOf({ owners }: PartitionMap, node: NodeId): ShardId[] {
  const shards: ShardId[] = [];
  for (let shard = 0; shard < SHARD_COUNT; shard++) if (owners[shard] === node) shards.push(shard as ShardId);
  return shards;
}

/** Same version and same content. */
export function isSameMap(one: PartitionMap, other: PartitionMap): boolean {
  return one.mapVersion === other.mapVersion && fingerprintOf(one) === fingerprintOf(other);
}

/** Of the content; two maps of one version that differ in it were made by two people. */
export function fingerprintOf({ cluster, nodes, owners, founders, terms }: PartitionMap): string {
  const places = [...nodes].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Bun.hash.xxHash64(JSON.stringify([cluster, places, owners, founders, terms])).toString(36);
}
