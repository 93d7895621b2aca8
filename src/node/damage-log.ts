/** The server's log lines about damaged shards. */
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";
import type { Damage } from "../../storage/shard/damaged-shards.ts";
import type { ShardId } from "../../storage/types.ts";

const SAY_AGAIN_MS = 60_000;
const NAMED_MAX = 20;

/** Logs damaged shards when they are found, and at most once a minute while clients ask for them. */
export class DamageLog {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #asked = new Map<ShardId, number>();
  #saidAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  found(damages: readonly Damage[]): void {
    const shards = rangesOf(damages.map(({ shard }) => shard));
    const what = damages.slice(0, NAMED_MAX).map((damage) => `shard ${damage.shard}: ${damage.what}`);
    const message = 'shards are damaged; their users and groups are unavailable until "parley repair" was run';
    this.#logger.error(message, { shards, count: damages.length, what });
    this.#saidAt = this.#clock.monotonicMs();
  }

  asked(shard: ShardId): void {
    this.#asked.set(shard, (this.#asked.get(shard) ?? 0) + 1);
    const now = this.#clock.monotonicMs();
    if (now - this.#saidAt < SAY_AGAIN_MS) return;
    this.#saidAt = now;
    const times = [...this.#asked.values()].reduce((sum, one) => sum + one, 0);
    const shards = rangesOf([...this.#asked.keys()]);
    this.#asked.clear();
    this.#logger.error('users and groups of damaged shards were requested; run "parley repair"', { shards, times });
  }
}

/** `0-3, 7` */
function rangesOf(shards: readonly number[]): string {
  const ranges: { from: number; to: number }[] = [];
  for (const shard of shards.toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && last.to + 1 === shard) last.to = shard;
    else ranges.push({ from: shard, to: shard });
  }
  return ranges.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)).join(", ");
}
