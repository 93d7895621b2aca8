/**
 * What a server does beside messages, one thing at a time: erases what users asked for, erases what has become too old, takes both out of the files, and
 * packs sealed segments tighter.
 *
 * Not here: what goes (src/home/erasing/erase-user.ts, src/home/erasing/retention.ts) and how files are rewritten (storage/files/flush).
 *
 * Invariants
 * - Nothing here is state that must survive: what is to be done is read from the shards at the start, and again after the log was reopened.
 * - It waits for nobody's message and no message waits for it: a page a turn of the event loop, files in the worker, compaction only while the log keeps up
 *   and for a part of the time.
 * - It goes shard by shard. What goes wrong in one of them keeps no other from its turn.
 *
 * A crash leaves what was not done; the next start does it.
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
  /** After the start, and between looks for what has become too old. */
  firstMs: number;
  sweepMs: number;
  /** After the start, and between passes over all shards that look for what can be packed tighter. */
  firstCompactMs: number;
  compactMs: number;
  /** After something could not be done. */
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
  /** The shards of this host were looked through for requests. */
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

  /** A user's request is durable. */
  eraseUser(user: UserId): void {
    this.#erasing.add(user);
    this.#wake();
  }

  /** A group has set how long it keeps. */
  retentionChanged(group: Address): void {
    this.#expiring.retentionChanged(group);
    this.#sweepAtMs = this.#now;
    this.#wake();
  }

  /** Begins nothing more. What runs ends by itself, or when the store is closed: `ended` then. */
  stop(): void {
    this.#pace.stop();
    this.#cancelTimer?.();
  }

  /** After `stop`: nothing is appended to the log any more, and the store can be closed. */
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
      // Woken in the turn in which it ended.
      if (this.#pace.isWoken && this.#parts.isOpen()) this.#wake();
    });
  }

  /** @returns when there is nothing to do for now; a timer wakes it again. */
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
      // A store that is closed, or whose log has failed, says so in its own place.
      if (!pace.isOver) this.#parts.logger.warn("upkeep is interrupted, trying again later", { error });
    }
    this.#wakeAfter(nextMs);
  }

  #untilNext(): number {
    return Math.max(1, Math.min(this.#sweepAtMs, this.#compactAtMs) - this.#now);
  }

  /** Everything that is asked for, or too old: first from what is read, then from the files. */
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

  /** Once for each host, and after every failure: some may have been cut short. */
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
    // What is left is done behind what came in between.
    if (this.#pace.isWoken) this.#compactAtMs = this.#now;
  }
}
