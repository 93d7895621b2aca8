/**
 * Says when unconfirmed handoffs are offered again: soon if a receiver has reported a missing handoff or could not
 * accept one, and after a while if there was no reply. The offers are read from the log (handoffs.ts), so no handoff
 * waits here.
 */
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { Offset } from "../../../storage/types.ts";
import { unlessDamaged } from "../damage.ts";
import { offerAgain } from "./handoffs.ts";
import type { Shard } from "../shard.ts";

const SOON_MS = 20;
const LATER_MS = 1000;
const BACK_OFF_MS_MAX = 30_000;

/**
 * `oldest`: offset of the oldest unconfirmed record when the shard last offered. `backOffMs`: how long the shard does
 * not offer again after that, whatever is reported; short while receivers accept something.
 */
type Waiting = { oldest: Offset | undefined; backOffMs: number; offeredAt: number; dueAt: number };

const newly = (now: number, dueAt: number): Waiting => ({
  oldest: undefined,
  backOffMs: SOON_MS,
  offeredAt: now,
  dueAt,
});

export class Offers {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #waiting = new Map<Shard, Waiting>();
  #cancel: (() => void) | undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  #isStopped = false;

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /**
   * Handoffs of the shard have to be offered again. The wait doubles each time that nothing was confirmed in between.
   */
  soon(shard: Shard): void {
    const now = this.#clock.monotonicMs();
    const waiting = this.#waiting.get(shard) ?? newly(now, now + SOON_MS);
    this.#waiting.set(shard, waiting);
    if (waiting.backOffMs > SOON_MS && waiting.oldest !== shard.ledger.oldest?.offset) waiting.backOffMs = SOON_MS;
    waiting.dueAt = Math.min(waiting.dueAt, waiting.offeredAt + waiting.backOffMs);
    this.#wakeAt(waiting.dueAt);
  }

  /** Looks for shards with unconfirmed handoffs. Called every second. */
  look(shards: Iterable<Shard>): void {
    const now = this.#clock.monotonicMs();
    for (const shard of shards) {
      const ledger = unlessDamaged(() => shard.ledger);
      // During an offer the ledger tells nothing.
      if (ledger?.isOffering === true) continue;
      const oldest = ledger?.oldest?.offset;
      const waiting = this.#waiting.get(shard);
      if (ledger === undefined || ledger.isEmpty) this.#waiting.delete(shard);
      else if (waiting === undefined) this.#waiting.set(shard, newly(now, now + LATER_MS));
      else if (waiting.oldest !== oldest && waiting.dueAt > now + LATER_MS) waiting.dueAt = now + LATER_MS;
    }
    for (const { dueAt } of this.#waiting.values()) this.#wakeAt(dueAt);
  }

  /** A node that was away is back: nothing waits any longer than for a loss. */
  hurry(): void {
    const now = this.#clock.monotonicMs();
    for (const waiting of this.#waiting.values()) {
      waiting.backOffMs = SOON_MS;
      waiting.dueAt = Math.min(waiting.dueAt, now + SOON_MS);
    }
    this.#wakeAt(now + SOON_MS);
  }

  /** Another object is the shard from now on. */
  forget(shard: Shard): void {
    this.#waiting.delete(shard);
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  #wakeAt(dueAt: number): void {
    if (this.#isStopped || dueAt >= this.#dueAt) return;
    this.#cancel?.();
    this.#dueAt = dueAt;
    this.#cancel = this.#clock.after(Math.max(0, dueAt - this.#clock.monotonicMs()), () => this.#wake());
  }

  #wake(): void {
    this.#dueAt = Number.POSITIVE_INFINITY;
    const now = this.#clock.monotonicMs();
    for (const [shard, waiting] of this.#waiting) if (waiting.dueAt <= now) this.#offer(shard, waiting, now);
    for (const { dueAt } of this.#waiting.values()) this.#wakeAt(dueAt);
  }

  #offer(shard: Shard, waiting: Waiting, now: number): void {
    if (shard.ledger.isEmpty) return void this.#waiting.delete(shard);
    const oldest = shard.ledger.oldest?.offset;
    waiting.backOffMs = waiting.oldest === oldest ? Math.min(BACK_OFF_MS_MAX, waiting.backOffMs * 2) : SOON_MS;
    waiting.oldest = oldest;
    waiting.offeredAt = now;
    waiting.dueAt = now + Math.max(LATER_MS, waiting.backOffMs);
    shard.turns.run(offerAgain(shard)).catch((error: unknown) => {
      this.#logger.warn("handoffs could not be offered again", { shard: shard.id, error });
    });
  }
}
