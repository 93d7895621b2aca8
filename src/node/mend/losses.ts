/** What a repair has lost, as mending asks for it. */
import { shardOf, type Address } from "../../domain/address.ts";
import type { ShardId } from "../../../storage/types.ts";

/** Of one repaired shard. */
export type ShardLoss = {
  shard: ShardId;
  /** Its newest records may be lost: entries behind the newest saved ones, and any cell may be older than it was. */
  mayLackNewest: boolean;
  /** What was erased may be there again. */
  mayShowErased: boolean;
  /** Streams with tombstones in the places of lost entries. */
  lost: readonly { stream: string }[];
};

export class Losses {
  readonly shards: ReadonlyMap<ShardId, ShardLoss>;
  readonly #emptied = new Set<ShardId>();
  readonly #streams = new Set<string>();

  constructor(losses: readonly ShardLoss[]) {
    this.shards = new Map(losses.map((loss) => [loss.shard, loss]));
    for (const { lost } of losses) for (const { stream } of lost) this.#streams.add(stream);
  }

  /** A shard without any stream: nothing tells whether it ever had one. */
  noteEmpty(shard: ShardId): void {
    this.#emptied.add(shard);
  }

  /** The stream was there once, and is not any more, or is without its beginning. */
  noteMissing(stream: Address): void {
    this.#streams.add(stream);
  }

  /** Whether something of the shard may be lost. */
  isDoubtful(shard: ShardId): boolean {
    return this.shards.has(shard) || this.#emptied.has(shard);
  }

  /** Whether any cell of the shard may be older than it was. */
  lacksNewest(shard: ShardId): boolean {
    return this.shards.get(shard)?.mayLackNewest === true;
  }

  mayShowErased(shard: ShardId): boolean {
    return this.lacksNewest(shard) || this.shards.get(shard)?.mayShowErased === true;
  }

  /** Whether something of the stream is lost, or may be. */
  isHurt(stream: Address): boolean {
    return this.#streams.has(stream) || this.lacksNewest(shardOf(stream));
  }
}
