/**
 * Which shards this node may serve. The map says which it should; the records in a shard's own log decide whether it
 * may. Only the founder of a shard may serve it without a record of an owner before it: any other node would serve an
 * empty shard in the place of one with messages.
 */
import type { Logger } from "../../base/logger.ts";
import type { Maps } from "../../cluster/map/maps.ts";
import { shardsOf, type NodeId, type PartitionMap } from "../../cluster/map/partition-map.ts";
import { cellText, SHARD_STREAM } from "../../home/state/cells.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import type { ShardId } from "../../../storage/types.ts";

/** The cell of a shard that says who owns it: `node` and term, written by moves. */
export const OWNER_CELL = "owner";

export class ShardOwnership {
  readonly #node: NodeId;
  readonly #maps: Maps;
  readonly #logger: Logger;
  #of: { map: PartitionMap; shards: readonly ShardId[] } | undefined;
  readonly #refused = new Set<ShardId>();

  constructor(node: NodeId, maps: Maps, logger: Logger) {
    this.#node = node;
    this.#maps = maps;
    this.#logger = logger;
  }

  shards(): readonly ShardId[] {
    const map = this.#maps.current;
    if (this.#of?.map !== map) this.#of = { map, shards: shardsOf(map, this.#node) };
    return this.#of.shards;
  }

  isHere(shard: ShardId, log: () => ShardLog): boolean {
    const { owners, founders } = this.#maps.current;
    if (owners[shard] !== this.#node) return false;
    const owner = cellText(log().cell(SHARD_STREAM, OWNER_CELL));
    if (owner === this.#node || (owner === "" && founders[shard] === this.#node)) return true;
    this.#refuse(shard, owner === "" ? "no record of its owner before" : `records of the owner ${owner}`);
    return false;
  }

  #refuse(shard: ShardId, why: string): void {
    if (this.#refused.has(shard)) return;
    this.#refused.add(shard);
    this.#logger.error("a shard is not served: the map gives it to this node, and its log does not", { shard, why });
  }
}
