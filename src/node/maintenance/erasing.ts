/**
 * Erases the content of users who asked for it. First it is no longer shown to anybody (erase-user.ts), then it is
 * removed from all files (erased-files.ts).
 */
import type { Logger } from "../../base/logger.ts";
import type { UserId } from "../../domain/address.ts";
import type { Clock } from "../../base/clock.ts";
import { unlessDamaged } from "../../home/damage.ts";
import { beingErased, eraseRequested, finishErasure, isGoneFromFiles } from "../../home/erasing/erase-user.ts";
import type { ShardHost } from "../shard-host.ts";
import { FlushError, KEPT_FOR_DAMAGED } from "../../../storage/files/flush-error.ts";
import type { ShardId } from "../../../storage/types.ts";
import type { Pace } from "./pace.ts";

export type ErasingParts = { clock: Clock; logger: Logger; pace: Pace };

export class Erasing {
  readonly #parts: ErasingParts;
  /** Users with an unfinished request. */
  readonly #users = new Set<UserId>();

  constructor(parts: ErasingParts) {
    this.#parts = parts;
  }

  add(user: UserId): void {
    this.#users.add(user);
  }

  /** Finds unfinished requests in the shards of this node. */
  async look(host: ShardHost): Promise<void> {
    for (const shard of host.ownedShards()) {
      if (!host.owns(shard)) continue;
      for (const user of unlessDamaged(() => beingErased(host.store.shard(shard))) ?? []) this.add(user);
      // The same pass finds marks that were not yet sent to the other shard.
      unlessDamaged(() => host.shard(shard).marks.offerUntold());
      await this.#parts.pace.nextTurn();
    }
  }

  /** @returns users whose content is no longer shown to anybody */
  async erase(host: ShardHost): Promise<UserId[]> {
    const { pace, logger } = this.#parts;
    const tidy = async (): Promise<void> => void (await this.#eraseNow(host, () => {}));
    const erased: UserId[] = [];
    for (const user of [...this.#users]) {
      try {
        await eraseRequested(host.home(user), user, { isStopped: pace.isStopped, tidy });
        erased.push(user);
      } catch (error) {
        pace.goOnAfter(error);
        logger.error("content of a user cannot be erased", { user, error });
      }
      pace.mustGoOn();
    }
    // After a start it is unknown which erased entries are still in files.
    if (erased.length > 0) host.erasedFiles.assume();
    return erased;
  }

  /** @returns false when files may still have erased entries */
  async emptyFiles(host: ShardHost): Promise<boolean> {
    if (!host.erasedFiles.mayHold) return true;
    const { clock, logger } = this.#parts;
    const startedAt = clock.monotonicMs();
    const shards = new Set<ShardId>();
    if (!(await this.#eraseNow(host, (shard) => shards.add(shard)))) return false;
    const ms = Math.round(clock.monotonicMs() - startedAt);
    logger.info("erased entries are out of the files", { shards: shards.size, ms });
    return true;
  }

  /** Other nodes may still have erased entries in their files. Then the request is looked at again later. */
  async finish(host: ShardHost, user: UserId): Promise<void> {
    const { pace, logger } = this.#parts;
    try {
      if (!(await isGoneFromFiles(host.home(user), user))) {
        pace.mustTryAgain = true;
        return;
      }
      // Forget the user before the write is durable: a request that arrives after it must not be forgotten.
      this.#users.delete(user);
      await finishErasure(host.home(user), user);
      logger.info("content of a user erased", { user });
    } catch (error) {
      pace.goOnAfter(error);
      logger.error("content of a user is erased, but the request cannot be marked as done", { user, error });
    }
  }

  /** @returns false when log files with erased entries must stay, because damaged shards need them */
  async #eraseNow(host: ShardHost, onShard: (shard: ShardId) => void): Promise<boolean> {
    const { pace, logger } = this.#parts;
    try {
      await pace.workInFiles(() => host.erasedFiles.emptied(() => host.store.eraseNow(onShard)));
      return true;
    } catch (error) {
      if (!(error instanceof FlushError) || error.code !== KEPT_FOR_DAMAGED) throw error;
      logger.warn("erased entries stay in files", { error });
      return false;
    }
  }
}
