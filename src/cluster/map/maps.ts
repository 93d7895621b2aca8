/**
 * The map that this node goes by, and the moves that were made since it was written: an *ownership* names a shard, its
 * owner and the term. Of two ownerships of a shard the one with the higher term counts, wherever it was heard.
 * Nodes tell each other which version they have when their link begins and when it
 * changes; a node that is behind asks for the newer one. So a change has to be brought to one node only.
 */
import type { Logger } from "../../base/logger.ts";
import { MapError, readMap, writeMap } from "./map-file.ts";
import { ALL_SHARDS, type ShardId } from "../../../storage/types.ts";
import { fingerprintOf, ownerOf, type NodeId, type PartitionMap } from "./partition-map.ts";

/** What a node tells of its map. */
export type MapNote = { readonly mapVersion: number; readonly fingerprint: string };

/** Who owns a shard from that term on. */
export type OwnedBy = { readonly shard: ShardId; readonly node: NodeId; readonly term: number };

export type MapsParts = {
  readonly logger: Logger;
  /** Keeps the map for the next start. Nothing depends on it: a node that starts with an older map learns the newer. */
  save(text: string): void;
  /** Keeps the moves that the map does not have, for the next start. Durable when it returns. */
  saveMoved(moved: readonly OwnedBy[]): void;
  /** The shard has another owner. */
  onOwner(shard: ShardId, before: NodeId, now: NodeId): void;
};

export class Maps {
  readonly #parts: MapsParts;
  #current: PartitionMap;
  /** Moves that the map does not have yet. */
  readonly #moved = new Map<ShardId, OwnedBy>();
  /** Counts the changes of owners. */
  #changes = 0;

  /** @param moved as was saved last */
  constructor(current: PartitionMap, parts: MapsParts, moved: readonly OwnedBy[] = []) {
    this.#current = current;
    this.#parts = parts;
    for (const owned of moved) if (owned.term > current.terms[owned.shard]!) this.#moved.set(owned.shard, owned);
  }

  get current(): PartitionMap {
    return this.#current;
  }

  /** Owner of the shard, as far as is known here. */
  ownerOf(shard: ShardId): NodeId {
    return this.#moved.size === 0 ? ownerOf(this.#current, shard) : this.ownershipOf(shard).node;
  }

  ownershipOf(shard: ShardId): OwnedBy {
    const moved = this.#moved.get(shard);
    return moved ?? { shard, node: ownerOf(this.#current, shard), term: this.#current.terms[shard]! };
  }

  /** Rises whenever an owner has changed. */
  get changes(): number {
    return this.#changes;
  }

  /** Moves that the map does not have. */
  moved(): Iterable<OwnedBy> {
    return this.#moved.values();
  }

  shardsOf(node: NodeId): ShardId[] {
    return ALL_SHARDS.filter((shard) => this.ownerOf(shard) === node);
  }

  /** A shard has an owner in a new term. @returns whether that was news */
  learnOwner(owned: OwnedBy): boolean {
    const before = this.ownershipOf(owned.shard);
    if (owned.term <= before.term || !this.#current.nodes.has(owned.node)) return false;
    this.#moved.set(owned.shard, owned);
    this.#parts.saveMoved([...this.#moved.values()]);
    this.#changes++;
    this.#parts.onOwner(owned.shard, before.node, owned.node);
    return true;
  }

  note(): MapNote {
    return { mapVersion: this.#current.mapVersion, fingerprint: fingerprintOf(this.#current) };
  }

  /** Compares with what another node has. @returns whether its map is newer and should be asked for */
  isBehind(node: NodeId, { mapVersion, fingerprint }: MapNote): boolean {
    if (mapVersion === this.#current.mapVersion && fingerprint !== this.note().fingerprint)
      this.#parts.logger.error("two different maps have the same version; make a newer one with parley map", {
        node,
        mapVersion,
      });
    return mapVersion > this.#current.mapVersion;
  }

  text(): string {
    return writeMap(this.#current);
  }

  /**
   * A map from another node, or from the operator. An older one changes nothing.
   * @throws MapError also for one in which a shard has another founder, or another owner in the same term: such a map was
   * edited by hand, and two nodes would claim the shard
   */
  learn(text: string): boolean {
    const map = readMap(text);
    const before = this.#current;
    if (map.cluster !== before.cluster || map.mapVersion <= before.mapVersion) return false;
    const owned = ALL_SHARDS.map((shard) => this.ownershipOf(shard));
    mustFollow(before, owned, map);
    const owners = owned.map(({ node }) => node);
    this.#parts.save(text);
    this.#current = map;
    for (const one of owned) {
      if (one.term > map.terms[one.shard]!) this.#moved.set(one.shard, one);
      else this.#moved.delete(one.shard);
    }
    this.#changes++;
    this.#parts.logger.info("a newer map", { mapVersion: map.mapVersion });
    for (const shard of ALL_SHARDS) {
      const now = this.ownerOf(shard);
      if (now !== owners[shard]) this.#parts.onOwner(shard, owners[shard]!, now);
    }
    return true;
  }
}

function mustFollow({ founders }: PartitionMap, owned: readonly OwnedBy[], map: PartitionMap): void {
  for (const { shard, node, term } of owned) {
    if (map.founders[shard] !== founders[shard])
      throw new MapError(
        `shard ${shard} began on ${founders[shard]}, and not on ${map.founders[shard]}: "founders" never changes`,
      );
    const next = ownerOf(map, shard);
    if (map.terms[shard] === term && next !== node)
      throw new MapError(
        `shard ${shard} is ${node}'s in term ${term}, and cannot be ${next}'s in the same term: use parley rebalance`,
      );
  }
}
