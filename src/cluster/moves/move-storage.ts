/** What moves need of this node's shards. Implemented in src/node/cluster/moves. */
import type { ShardId } from "../../../storage/types.ts";
import type { NodeId } from "../map/partition-map.ts";

/** A shard that is being copied away. */
export type MovedAway = {
  /** The copy of its files. */
  readonly size: number;
  /** Offset of the last record in them. */
  readonly through: number;
  read(at: number, bytes: number): Buffer;
  /** Whole records that became durable since the last call and are above the copy, in order; undefined if none. */
  takeRecords(bytesMax: number): Buffer | undefined;
  /** Bytes of records that were not taken. */
  readonly waitingBytes: number;
  /** Called when records have come. */
  onRecords: () => void;
  /**
   * Ends this node's ownership. Resolves with the offset of the last record once it is durable: `takeRecords` has it by
   * then. Also where that was done before.
   * @throws Error if the shard was released to another node
   */
  release(): Promise<number>;
  end(): void;
};

/** A shard that is being copied here. */
export type MovedHere = {
  /** Writes the next bytes of the copy. */
  write(bytes: Buffer): void;
  /** The copy is whole: puts it in its place. @returns the offset through which the shard is here */
  place(): Promise<number>;
  /** Appends whole records. `durable` is told how far they are; `failed` that they cannot be written. */
  records(bytes: Buffer, outcome: { durable(through: number): void; failed(error: Error): void }): void;
  /** Every record is durable: begins this node's ownership. */
  begin(): Promise<void>;
  end(): void;
};

export type MoveStorage = {
  /** @throws Error if the shard is not this node's to give */
  away(shard: ShardId, to: NodeId): Promise<MovedAway>;
  /** @throws Error if the shard is here already */
  here(shard: ShardId): MovedHere;
};
