/**
 * Compacts sealed segments, one shard after the other. It works for a part of the time, and only while the log keeps
 * up.
 */
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import { isDamage, unlessDamaged } from "../../home/damage.ts";
import type { ShardHost } from "../shard-host.ts";
import type { LogStore } from "../../../storage/log-store.ts";
import type { Offset, ShardId } from "../../../storage/types.ts";
import type { Pace } from "./pace.ts";

/** The pause after each step, as a multiple of the time that the step took. */
const REST_FACTOR = 4;
const REST_MS_MAX = 60_000;
/** Compaction waits while `LogStore.pressure` is above it. */
const PRESSURE_MAX = 0.25;
/** A pass ends after so many failed shards: then the cause is probably not in the shards. */
const FAILURES_MAX = 3;

type Sum = { shards: number; bytesBefore: number; bytesAfter: number };

export class Compaction {
  readonly #parts: { clock: Clock; logger: Logger; pace: Pace };
  /** `durableThrough` of each shard when it was last compacted. */
  readonly #compactedAt = new Map<ShardId, Offset>();

  constructor(parts: { clock: Clock; logger: Logger; pace: Pace }) {
    this.#parts = parts;
  }

  /** Ends when all shards are compacted, or when other maintenance is due. */
  async run(host: ShardHost): Promise<void> {
    const { pace, logger } = this.#parts;
    const sum: Sum = { shards: 0, bytesBefore: 0, bytesAfter: 0 };
    let failures = 0;
    try {
      for (const shard of host.ownedShards()) {
        if (pace.isWoken) break;
        try {
          await this.#compact(host.store, shard, sum);
        } catch (error) {
          pace.mustGoOn();
          if (isDamage(error)) continue;
          if (++failures > FAILURES_MAX) throw error;
          logger.warn("the segments of a shard cannot be compacted", { shard, error });
        }
      }
    } finally {
      if (sum.shards > 0) logger.info("segments compacted", sum);
    }
  }

  async #compact(store: LogStore, shard: ShardId, sum: Sum): Promise<void> {
    const { clock, pace } = this.#parts;
    if (store.isDamaged(shard)) return;
    const durableThrough = unlessDamaged(() => store.shard(shard).durableThrough) ?? 0;
    if (durableThrough === 0 || this.#compactedAt.get(shard) === durableThrough) return;
    while (store.pressure > PRESSURE_MAX && !pace.isWoken) await pace.rest(REST_MS_MAX);
    if (pace.isWoken) return;
    const startedAt = clock.monotonicMs();
    const { filesBefore, filesAfter, bytesBefore, bytesAfter } = await pace.workInFiles(() => store.compact(shard));
    this.#compactedAt.set(shard, durableThrough);
    if (filesBefore !== filesAfter || bytesBefore !== bytesAfter) {
      sum.shards++;
      sum.bytesBefore += bytesBefore;
      sum.bytesAfter += bytesAfter;
    }
    await pace.rest(Math.min(REST_MS_MAX, REST_FACTOR * (clock.monotonicMs() - startedAt)));
  }
}
