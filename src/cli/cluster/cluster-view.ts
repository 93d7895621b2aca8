/** What the nodes of a cluster say, put together: who answers, which map they have, and who owns each shard. */
import { AdminError, type AdminClient } from "../../cluster/admin-client.ts";
import type { OwnedBy } from "../../cluster/map/maps.ts";
import { fingerprintOf, type NodeId, type PartitionMap } from "../../cluster/map/partition-map.ts";
import type { NodeProgress, NodeStatus } from "../../node/cluster/admin.ts";
import { ALL_SHARDS, type ShardId } from "../../../storage/types.ts";
import { FatalError } from "../fatal-error.ts";

export type Answers<Status> = {
  readonly answered: ReadonlyMap<NodeId, Status>;
  /** Nodes that do not answer, and why. */
  readonly silent: ReadonlyMap<NodeId, string>;
};

/**
 * Asks the nodes of the map, all at once.
 * @throws FatalError if one is of another cluster, or has another secret, or is another node
 */
export async function askNodes<Status extends NodeStatus | NodeProgress>(
  client: AdminClient,
  map: PartitionMap,
  path: "status" | "progress",
  nodes: Iterable<NodeId> = map.nodes.keys(),
): Promise<Answers<Status>> {
  const answered = new Map<NodeId, Status>();
  const silent = new Map<NodeId, string>();
  const ask = async (node: NodeId): Promise<void> => {
    const { url } = map.nodes.get(node)!;
    try {
      const status = await client.call<Status>(url, "GET", path);
      if (status.cluster !== map.cluster)
        throw new FatalError("failed", `${node} at ${url} belongs to the cluster ${status.cluster}`, {
          hint: `the map is of the cluster ${map.cluster}; nothing was changed`,
        });
      if (status.node !== node)
        throw new FatalError("failed", `${url} is ${status.node}, and the map says that ${node} is there`, {
          hint: "start each node with the address that the map has",
        });
      answered.set(node, status);
    } catch (error) {
      if (!(error instanceof AdminError)) throw error;
      if (error.status === 401) throw wrongSecret(node, error);
      silent.set(node, error.message);
    }
  };
  await Promise.all([...nodes].map(ask));
  return { answered, silent };
}

export const wrongSecret = (node: string, cause: unknown): FatalError =>
  new FatalError("failed", `${node} refuses the call: it was not signed with its secret`, {
    hint: "give the --secret-file of this cluster; nothing was changed",
    cause,
  });

/** Owner and term of every shard: of two claims the one of the higher term counts. */
export function ownershipsOf(map: PartitionMap, statuses: Iterable<{ readonly moved: readonly OwnedBy[] }>): OwnedBy[] {
  const owned = ALL_SHARDS.map((shard): OwnedBy => ({ shard, node: map.owners[shard]!, term: map.terms[shard]! }));
  for (const { moved } of statuses)
    for (const claim of moved) if (claim.term > owned[claim.shard]!.term) owned[claim.shard] = claim;
  return owned;
}

/** The next map: owners and terms as they are now. */
export function nextMap(map: PartitionMap, owned: readonly OwnedBy[], nodes = map.nodes): PartitionMap {
  return {
    ...map,
    nodes,
    mapVersion: map.mapVersion + 1,
    owners: owned.map(({ node }) => node),
    terms: owned.map(({ term }) => term),
  };
}

/** Shards that a node serves, as it says itself. */
export function servedBy(node: NodeId, map: PartitionMap, status: NodeProgress | NodeStatus): ShardId[] {
  const unserved = new Set(status.unserved);
  return ownershipsOf(map, [status])
    .filter((owned) => owned.node === node && !unserved.has(owned.shard))
    .map(({ shard }) => shard);
}

/** `n1, n2 and n3` */
export function listed(words: Iterable<string>): string {
  const all = [...words];
  return all.length < 2 ? all.join("") : `${all.slice(0, -1).join(", ")} and ${all.at(-1)}`;
}

/** The map and the node have the same one. @throws FatalError that says which is behind, and what to do */
export function mustHaveMap(
  what: string,
  map: PartitionMap,
  node: NodeId,
  theirs: { mapVersion: number; fingerprint: string },
): void {
  if (theirs.mapVersion > map.mapVersion)
    throw new FatalError("failed", `${what} has map version ${map.mapVersion}, and ${node} has ${theirs.mapVersion}`, {
      hint: "get the newer map with parley map show --url URL -o FILE and begin again with it; nothing was changed",
    });
  if (theirs.mapVersion < map.mapVersion)
    throw new FatalError("failed", `${node} has map version ${theirs.mapVersion}, and ${what} has ${map.mapVersion}`, {
      hint: "bring it to the nodes with parley map send FILE; nothing was changed",
    });
  if (theirs.fingerprint !== fingerprintOf(map))
    throw new FatalError("failed", `${what} and ${node} have different maps of version ${map.mapVersion}`, {
      hint: "get that of the nodes with parley map show --url URL -o FILE; nothing was changed",
    });
}

/** Brings a map to every node of it, and to those that it no longer has. @returns who did not take it, and why */
export async function publish(
  client: AdminClient,
  text: string,
  nodes: PartitionMap["nodes"],
): Promise<Map<NodeId, string>> {
  const silent = new Map<NodeId, string>();
  await Promise.all(
    [...nodes].map(async ([node, { url }]) => {
      try {
        await client.call(url, "POST", "map", text);
      } catch (error) {
        if (!(error instanceof AdminError)) throw error;
        silent.set(node, error.message);
      }
    }),
  );
  return silent;
}
