/** Erases expired messages, shard by shard (src/home/erasing/expiry.ts). */
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import { shardOf, type Address } from "../../domain/address.ts";
import { unlessDamaged } from "../../home/damage.ts";
import { eraseExpired, type Expired } from "../../home/erasing/expiry.ts";
import { expiresAt } from "../../home/erasing/retention.ts";
import type { ShardHost } from "../shard-host.ts";
import type { ShardId } from "../../../storage/types.ts";
import type { Pace } from "./pace.ts";

export type ExpiringParts = {
  clock: Clock;
  logger: Logger;
  pace: Pace;
  /** Days that messages are kept; undefined: for ever. */
  keepDays: number | undefined;
};

const isAddress = (stream: string): stream is Address => stream.startsWith("@") || stream.startsWith("#");

export class Expiring {
  readonly #parts: ExpiringParts;
  /** When the next message of a shard expires, as of its last sweep. */
  readonly #dueAt = new Map<ShardId, number>();
  /** Time of the last sweep, by the same clock. */
  #sweptAt = 0;
  #changes = 0;

  constructor(parts: ExpiringParts) {
    this.#parts = parts;
  }

  /** Call it when a group has changed its retention. */
  retentionChanged(group: Address): void {
    this.#dueAt.delete(shardOf(group));
    this.#changes++;
  }

  async sweep(host: ShardHost): Promise<void> {
    const { clock, logger } = this.#parts;
    this.#forgetIfClockWentBack();
    let entries = 0;
    for (const shard of host.ownedShards()) {
      if ((this.#dueAt.get(shard) ?? 0) <= clock.now() && host.owns(shard))
        entries += await this.#sweepShard(host, shard);
    }
    if (entries > 0) logger.info("expired messages erased", { entries });
  }

  /** After the clock went back, new messages have earlier times than `#dueAt` was computed from. */
  #forgetIfClockWentBack(): void {
    const now = this.#parts.clock.now();
    if (now < this.#sweptAt) this.#dueAt.clear();
    this.#sweptAt = now;
  }

  async #sweepShard(host: ShardHost, shard: ShardId): Promise<number> {
    const { keepDays, clock, pace } = this.#parts;
    const changes = this.#changes;
    let entries = 0;
    // A shard without messages can get its first one now at the earliest.
    let dueAt = keepDays === undefined ? Number.POSITIVE_INFINITY : expiresAt(clock.now(), keepDays);
    for (const stream of unlessDamaged(() => host.store.shard(shard).streams()) ?? []) {
      // It may have moved to another node meanwhile.
      if (host.store.isDamaged(shard) || !host.owns(shard)) break;
      const expired = isAddress(stream) ? await this.#eraseExpired(host, stream) : undefined;
      if (expired === undefined) continue;
      entries += expired.entries;
      dueAt = Math.min(dueAt, expired.dueAt);
      await pace.nextTurn();
    }
    if (changes === this.#changes) this.#dueAt.set(shard, dueAt);
    await pace.nextTurn();
    return entries;
  }

  async #eraseExpired(host: ShardHost, stream: Address): Promise<Expired | undefined> {
    const { keepDays, clock, pace, logger } = this.#parts;
    try {
      const ports = { keepDays, nowMs: clock.now(), isStopped: pace.isStopped };
      const expired = await eraseExpired(host.ownerOf(stream), stream, ports);
      // Files may still have entries that an earlier process erased.
      if (expired !== undefined) host.erasedFiles.assume();
      return expired;
    } catch (error) {
      pace.goOnAfter(error);
      logger.error("expired messages cannot be erased", { stream, error });
      return { entries: 0, dueAt: pace.mustTryAgain ? 0 : expiresAt(clock.now(), 0) };
    }
  }
}
