/**
 * Which shards this node may serve. The map says which it should; the records in a shard's own log decide whether it
 * may. Only the founder of a shard may serve it without a record of an owner before it: any other node would serve an
 * empty shard in the place of one with messages.
 */
import type { Logger } from "../../base/logger.ts";
import type { Maps } from "../../cluster/map/maps.ts";
import type { NodeId } from "../../cluster/map/partition-map.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import type { ShardId } from "../../../storage/types.ts";
import { ownerRecord } from "./owner-cell.ts";

export class ShardOwnership {
  readonly #node: NodeId;
  readonly #maps: Maps;
  readonly #logger: Logger;
  #of: { changes: number; shards: readonly ShardId[] } | undefined;
  readonly #told = new Set<string>();
  /** Called with a shard that was released to this node and is not begun yet. */
  onReleased: (shard: ShardId) => void = () => {};
  /** Called with a shard that this node has released to another, which has not begun yet. */
  onAwaited: (shard: ShardId, next: NodeId) => void = () => {};

  constructor(node: NodeId, maps: Maps, logger: Logger) {
    this.#node = node;
    this.#maps = maps;
    this.#logger = logger;
  }

  shards(): readonly ShardId[] {
    const { changes } = this.#maps;
    if (this.#of?.changes !== changes) this.#of = { changes, shards: this.#maps.shardsOf(this.#node) };
    return this.#of.shards;
  }

  isHere(shard: ShardId, log: () => ShardLog): boolean {
    if (this.#maps.ownerOf(shard) !== this.#node) return false;
    const record = ownerRecord(log());
    if (record === undefined) {
      if (this.#maps.current.founders[shard] === this.#node) return true;
      return this.#refuse(shard, "its log has no record of an owner; move it here with parley rebalance");
    }
    if (record.state === "released") {
      if (record.node === this.#node) this.onReleased(shard);
      else this.onAwaited(shard, record.node);
      return false;
    }
    if (record.node === this.#node) return true;
    return this.#refuse(shard, `its log says that ${record.node} has it, in term ${record.term}`);
  }

  #refuse(shard: ShardId, why: string): false {
    const line = `${shard} ${why}`;
    if (!this.#told.has(line))
      this.#logger.error("a shard that the map gives to this node is not served", { shard, why });
    this.#told.add(line);
    return false;
  }
}
