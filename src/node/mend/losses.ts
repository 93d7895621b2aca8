/** What a repair has lost: questions that mending asks. */
import { shardOf, type Address } from "../../domain/address.ts";
import type { ShardId } from "../../../storage/types.ts";

/** What one repaired shard has lost. */
export type ShardLoss = {
  shard: ShardId;
  /** Its newest records may be lost: entries after the newest saved ones, and any cell may be out of date. */
  mayLackNewest: boolean;
  /** Erased entries may have come back. */
  mayShowErased: boolean;
  /** Streams in which tombstones replace lost entries. */
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

  /** Notes a shard without any stream: nothing tells whether it ever had one. */
  noteEmpty(shard: ShardId): void {
    this.#emptied.add(shard);
  }

  /** Notes a stream that existed and is missing, or lacks its beginning. */
  noteMissing(stream: Address): void {
    this.#streams.add(stream);
  }

  /** Whether something of the shard may be lost. */
  isDoubtful(shard: ShardId): boolean {
    return this.shards.has(shard) || this.#emptied.has(shard);
  }

  /** Whether any cell of the shard may be out of date. */
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
