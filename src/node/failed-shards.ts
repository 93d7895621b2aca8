/**
 * Shards whose log has failed while the logs of other shards go on. Such a shard can be read and refuses writes. It is
 * opened again as soon as possible. Then its users must reconnect, since they may have seen what was not written. A
 * shard that another node has taken over is not opened again.
 */
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";
import { FencedError, type LogFailure } from "../../storage/errors.ts";
import type { ShardId } from "../../storage/types.ts";

const AGAIN_MS = 1000;

export type FailedShardsParts = {
  clock: Clock;
  logger: Logger;
  /** @throws FencedError when another node owns the shard; otherwise the error that keeps it from being opened */
  reopen(shard: ShardId): Promise<unknown>;
  /** Called when the shard is open again. */
  onReopened(shard: ShardId): void;
};

export class FailedShards {
  readonly #parts: FailedShardsParts;
  readonly #failed = new Set<ShardId>();
  readonly #takenOver = new Set<ShardId>();
  #cancel: (() => void) | undefined;
  #isReopening = false;
  #isStopped = false;

  constructor(parts: FailedShardsParts) {
    this.#parts = parts;
  }

  /** Shards that another node has taken over. */
  get takenOver(): ReadonlySet<ShardId> {
    return this.#takenOver;
  }

  failed(error: LogFailure, shards: readonly ShardId[]): void {
    if (error instanceof FencedError) return this.#isTakenOver(error, shards);
    if (this.#failed.size === 0)
      this.#parts.logger.error("the log of some shards has failed; they are opened again as soon as that works", {
        error,
      });
    for (const shard of shards) this.#failed.add(shard);
    void this.#reopenAll();
  }

  /** Opens no further shard. */
  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  async #reopenAll(): Promise<void> {
    if (this.#isReopening) return;
    this.#isReopening = true;
    const reopened: ShardId[] = [];
    // Shards that fail during this loop are added at the end of the set.
    for (const shard of this.#failed) {
      if (this.#isStopped) return;
      if (await this.#reopen(shard)) reopened.push(shard);
    }
    this.#isReopening = false;
    if (reopened.length > 0) this.#parts.logger.info("shards are open again", { shards: reopened });
    if (this.#failed.size === 0) return;
    this.#cancel?.();
    this.#cancel = this.#parts.clock.after(AGAIN_MS, () => void this.#reopenAll());
  }

  async #reopen(shard: ShardId): Promise<boolean> {
    const { logger, reopen, onReopened } = this.#parts;
    try {
      await reopen(shard);
    } catch (error) {
      if (error instanceof FencedError) this.#isTakenOver(error, [shard]);
      else logger.warn("a shard cannot be opened again, trying again", { shard, error });
      return false;
    }
    this.#failed.delete(shard);
    onReopened(shard);
    return true;
  }

  #isTakenOver(error: FencedError, shards: readonly ShardId[]): void {
    for (const shard of shards) {
      this.#failed.delete(shard);
      this.#takenOver.add(shard);
    }
    this.#parts.logger.warn("shards were taken over by another server", { shards: [...shards], error });
  }
}
