/**
 * What is told of damaged shards: to whoever asks for a user or group that lives in one, and in the log.
 *
 * Not here: how damage is found, and what a store does then (storage/shard/damage-control.ts).
 */
import { AppError } from "../base/errors.ts";
import type { Clock } from "../base/clock.ts";
import type { Steps } from "../base/steps.ts";
import type { Logger } from "../base/logger.ts";
import type { Address } from "../domain/address.ts";
import type { Damage } from "../../storage/shard/damaged-shards.ts";
import { CorruptionError } from "../../storage/errors.ts";
import type { ShardId } from "../../storage/types.ts";

/** An operator has to do something first. */
const RETRY_MS = 60_000;
const SAY_AGAIN_MS = 60_000;
const NAMED_MAX = 20;

/** The answer to a command that needs what is damaged. */
export function damagedError(cause: unknown, address?: Address): AppError {
  const whose = address === undefined ? "a user or group that this concerns" : address;
  const detail = `the stored data of ${whose} is damaged; the operator of this server must run "parley repair"`;
  return new AppError("unavailable", detail, { retryAfterMs: RETRY_MS, cause });
}

/** Whether a command was refused, or failed, since data is damaged. */
export const isDamage = (error: unknown): boolean =>
  error instanceof CorruptionError || (error instanceof AppError && error.cause instanceof CorruptionError);

/** Undefined when `ask` meets damage: for callers that can do without the answer. */
export function unlessDamaged<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}

/** The same of work that is done in steps. */
export function* stepsUnlessDamaged<T>(steps: Steps<T>): Steps<T | undefined> {
  try {
    return yield* steps;
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}

/** Tells of damaged shards when they are found, and once a minute at most while somebody asks for them. */
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
    this.#logger.error('users and groups of damaged shards were asked for; run "parley repair"', { shards, times });
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
