/** Packs sealed segments tighter, one shard after the other, while the log keeps up and for a part of the time. */
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import { isDamage, unlessDamaged } from "../../home/damage.ts";
import type { ShardHost } from "../shard-host.ts";
import type { LogStore } from "../../../storage/log-store.ts";
import type { Offset, ShardId } from "../../../storage/types.ts";
import type { Pace } from "./pace.ts";

/** It rests so many times as long as it worked. */
const REST = 4;
const REST_MS_MAX = 60_000;
/** Of `LogStore.pressure`: from here on it waits. */
const PRESSURE_MAX = 0.25;
/** Shards that cannot be packed, in one pass: with more of them it is not the shards. */
const FAILURES_MAX = 3;

type Sum = { shards: number; bytesBefore: number; bytesAfter: number };

export class Compaction {
  readonly #parts: { clock: Clock; logger: Logger; pace: Pace };
  /** What `durableThrough` was when a shard was compacted. */
  readonly #compactedAt = new Map<ShardId, Offset>();

  constructor(parts: { clock: Clock; logger: Logger; pace: Pace }) {
    this.#parts = parts;
  }

  /** Until all are done, or something else is to be done. */
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
          logger.warn("the segments of a shard cannot be packed tighter", { shard, error });
        }
      }
    } finally {
      if (sum.shards > 0) logger.info("segments packed tighter", sum);
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
    await pace.rest(Math.min(REST_MS_MAX, REST * (clock.monotonicMs() - startedAt)));
  }
}
