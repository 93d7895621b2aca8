/**
 * The server's background work, one task at a time: erases what users asked for, erases expired messages, removes both
 * from the files, and compacts sealed segments.
 *
 * Not here: what is erased (src/home/erasing/erase-user.ts, src/home/erasing/retention.ts) and how files are rewritten
 * (storage/files/flush).
 *
 * Invariants
 * - Nothing here is state that must survive. The work to do is read from the shards at the start, and again after the
 *   log was reopened.
 * - Maintenance never blocks messages, and messages never block maintenance. It reads one page a turn of the event loop
 *   and rewrites files in the worker. Compaction runs for a part of the time, and only while the log keeps up.
 * - It goes shard by shard. A failure in one shard does not delay the others.
 *
 * After a crash the next start does what was left.
 */
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { Address, UserId } from "../../domain/address.ts";
import type { ShardHost } from "../shard-host.ts";
import { Compaction } from "./compaction.ts";
import { Erasing } from "./erasing.ts";
import { Expiring } from "./expiring.ts";
import { Pace } from "./pace.ts";

export type MaintenanceTimes = {
  /** Wait after the start, and between two searches for expired messages. */
  firstMs: number;
  sweepMs: number;
  /** Wait after the start, and between two compaction passes over all shards. */
  firstCompactMs: number;
  compactMs: number;
  /** Wait after a failure. */
  againMs: number;
};

export const MAINTENANCE_TIMES: MaintenanceTimes = {
  firstMs: 2000,
  sweepMs: 3_600_000,
  firstCompactMs: 60_000,
  compactMs: 86_400_000,
  againMs: 30_000,
};

export type MaintenanceParts = {
  host: () => ShardHost;
  isOpen: () => boolean;
  clock: Clock;
  logger: Logger;
  /** Days that messages are kept; undefined: for ever. */
  keepDays: number | undefined;
  times?: Partial<MaintenanceTimes>;
};

export class Maintenance {
  readonly #parts: MaintenanceParts;
  readonly #times: MaintenanceTimes;
  readonly #pace: Pace;
  readonly #erasing: Erasing;
  readonly #expiring: Expiring;
  readonly #compaction: Compaction;
  /** The host whose shards were searched for requests. */
  #lookedThrough: ShardHost | undefined;
  #sweepAtMs: number;
  #compactAtMs: number;
  #running: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;

  constructor(parts: MaintenanceParts) {
    const { clock, logger, keepDays } = parts;
    this.#parts = parts;
    this.#times = { ...MAINTENANCE_TIMES, ...parts.times };
    this.#pace = new Pace(clock, parts.isOpen);
    const work = { clock, logger, pace: this.#pace };
    this.#erasing = new Erasing(work);
    this.#expiring = new Expiring({ ...work, keepDays });
    this.#compaction = new Compaction(work);
    this.#sweepAtMs = this.#now + this.#times.firstMs;
    this.#compactAtMs = this.#now + this.#times.firstCompactMs;
    this.#wakeAfter(this.#times.firstMs);
  }

  get #now(): number {
    return this.#parts.clock.monotonicMs();
  }

  /** Call it when a user's request is durable. */
  eraseUser(user: UserId): void {
    this.#erasing.add(user);
    this.#wake();
  }

  /** Call it when a group has changed its retention. */
  retentionChanged(group: Address): void {
    this.#expiring.retentionChanged(group);
    this.#sweepAtMs = this.#now;
    this.#wake();
  }

  /** Starts no further task. The present one ends by itself, or when the store is closed; see `ended`. */
  stop(): void {
    this.#pace.stop();
    this.#cancelTimer?.();
  }

  /** Call it after `stop`. Resolves when nothing is appended to the log any more, so that the store can be closed. */
  async quiet(): Promise<void> {
    if (this.#running !== undefined) await Promise.race([this.#running, this.#pace.inFiles]);
  }

  async ended(): Promise<void> {
    await this.#running;
  }

  #wakeAfter(ms: number): void {
    this.#cancelTimer?.();
    this.#cancelTimer = this.#pace.isStopped() ? undefined : this.#parts.clock.after(ms, () => this.#wake());
  }

  #wake(): void {
    if (this.#pace.isStopped()) return;
    this.#pace.wake();
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      // It was woken in the turn in which it ended.
      if (this.#pace.isWoken && this.#parts.isOpen()) this.#wake();
    });
  }

  /** Resolves when there is nothing to do for now. A timer wakes it again. */
  async #run(): Promise<void> {
    const pace = this.#pace;
    let nextMs = this.#times.againMs;
    pace.mustTryAgain = false;
    try {
      while (pace.isWoken && !pace.isOver) {
        pace.isWoken = false;
        await this.#erase();
        if (!pace.isWoken) await this.#compact();
      }
      if (this.#parts.isOpen()) nextMs = Math.min(this.#untilNext(), pace.mustTryAgain ? nextMs : Infinity);
    } catch (error) {
      this.#lookedThrough = undefined;
      this.#sweepAtMs = Math.min(this.#sweepAtMs, this.#now + this.#times.againMs);
      // A closed store and a failed log are logged elsewhere.
      if (!pace.isOver) this.#parts.logger.warn("maintenance was interrupted, trying again later", { error });
    }
    this.#wakeAfter(nextMs);
  }

  #untilNext(): number {
    return Math.max(1, Math.min(this.#sweepAtMs, this.#compactAtMs) - this.#now);
  }

  /** Erases requested content and expired messages: first from what clients can read, then from the files. */
  async #erase(): Promise<void> {
    const host = this.#parts.host();
    await this.#lookForRequests(host);
    const users = await this.#erasing.erase(host);
    if (this.#now >= this.#sweepAtMs) {
      this.#sweepAtMs = this.#now + this.#times.sweepMs;
      await this.#expiring.sweep(host);
    }
    if (!(await this.#erasing.emptyFiles(host))) return;
    for (const user of users) await this.#erasing.finish(host, user);
  }

  /** Runs once for each host, and after every failure, which may have cut a task short. */
  async #lookForRequests(host: ShardHost): Promise<void> {
    if (this.#lookedThrough === host) return;
    host.erasedFiles.onWanted = () => this.#wake();
    await this.#erasing.look(host);
    this.#lookedThrough = host;
  }

  async #compact(): Promise<void> {
    if (this.#now < this.#compactAtMs) return;
    this.#compactAtMs = this.#now + this.#times.compactMs;
    await this.#compaction.run(this.#parts.host());
    // The rest is done after the task that came in between.
    if (this.#pace.isWoken) this.#compactAtMs = this.#now;
  }
}
