/** A new map, in which the shards are divided evenly: neighbours together, so that the map is easy to read. */
import { SHARD_COUNT } from "../../../storage/types.ts";
import { FIRST_TERM, type MapNode, type NodeId, type PartitionMap } from "./partition-map.ts";

/** @param owning the nodes that get shards, in this order; the others are edges */
export function makeMap(
  cluster: string,
  nodes: ReadonlyMap<NodeId, MapNode>,
  owning: readonly NodeId[] = [...nodes.keys()],
): PartitionMap {
  const owners = Array.from(
    { length: SHARD_COUNT },
    (_, shard) => owning[Math.floor((shard * owning.length) / SHARD_COUNT)]!,
  );
  const terms = owners.map(() => FIRST_TERM);
  return { cluster, mapVersion: 1, nodes, owners, founders: owners, terms };
}
