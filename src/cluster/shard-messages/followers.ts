/**
 * Which nodes follow which groups of this node. A node that asks for a group's standing gets the group's casts for
 * `LEASE_MS`, and asks again before that ends (home/mirrors/followed-mirrors.ts).
 */
import type { GroupAddress } from "../../domain/address.ts";
import type { NodeId } from "../map/partition-map.ts";

export class Followers {
  readonly #leaseMs: number;
  /** For each group the nodes, and until when, monotonic. */
  readonly #groups = new Map<GroupAddress, Map<NodeId, number>>();

  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs;
  }

  follows(group: GroupAddress, node: NodeId, nowMs: number): void {
    const nodes = this.#groups.get(group);
    if (nodes === undefined) this.#groups.set(group, new Map([[node, nowMs + this.#leaseMs]]));
    else nodes.set(node, nowMs + this.#leaseMs);
  }

  /** Nodes that follow the group now. */
  of(group: GroupAddress): ReadonlyMap<NodeId, number> | undefined {
    return this.#groups.get(group);
  }

  /** Forgets what is over. Call it now and then. */
  expire(nowMs: number): void {
    for (const [group, nodes] of this.#groups) {
      for (const [node, until] of nodes) if (until <= nowMs) nodes.delete(node);
      if (nodes.size === 0) this.#groups.delete(group);
    }
  }
}
