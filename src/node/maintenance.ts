/**
 * What a server does beside messages, one thing at a time: erases what users asked for, erases what has become too old, takes both out of the files, and
 * packs sealed segments tighter.
 *
 * Not here: what goes (src/shard/erase-user.ts, src/shard/retention.ts) and how files are rewritten (storage/files/flush).
 *
 * Invariants
 * - Nothing here is state that must survive: what is to be done is read from the shards at the start, and again after the log was reopened.
 * - It waits for nobody's message and no message waits for it: a page a turn of the event loop, files in the worker, compaction only while the log keeps up
 *   and for a part of the time.
 *
 * A crash leaves what was not done; the next start does it.
 */
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { shardOf, type Address, type UserId } from "../domain/address.ts";
import { isDamage, unlessDamaged } from "../shard/damage.ts";
import { beingErased, eraseRequested, erasureStatus, finishErasure } from "../shard/erase-user.ts";
import { eraseExpired, type Expired } from "../shard/expiry.ts";
import { expiresAt } from "../shard/retention.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import { LogFailedError } from "../../storage/errors.ts";
import type { LogStore } from "../../storage/log-store.ts";
import { FlushError, KEPT_FOR_DAMAGED } from "../../storage/files/flush-error.ts";
import { SHARD_COUNT, type Offset, type ShardId } from "../../storage/types.ts";

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

/** Compacting rests so many times as long as it worked. */
const REST = 4;
const REST_MS_MAX = 60_000;
/** Of `LogStore.pressure`: from here on compaction waits. */
const PRESSURE_MAX = 0.25;

export type MaintenanceParts = {
  host: () => ShardHost;
  isOpen: () => boolean;
  clock: Clock;
  logger: Logger;
  /** Days that messages are kept; undefined: for ever. */
  keepDays: number | undefined;
  times?: Partial<MaintenanceTimes>;
};

/** Damage, or a mistake of the program's, that one stream has: the others can be erased all the same. */
const isOfOneStream = (error: unknown): boolean =>
  isDamage(error) || !(error instanceof AppError || error instanceof FlushError || error instanceof LogFailedError);

const isAddress = (stream: string): stream is Address => stream.startsWith("@") || stream.startsWith("#");

const SHARDS = Array.from({ length: SHARD_COUNT }, (_, shard) => shard as ShardId);

export class Maintenance {
  readonly #parts: MaintenanceParts;
  readonly #times: MaintenanceTimes;
  /** Users whose request is known to be unfinished. */
  readonly #erasing = new Set<UserId>();
  /** The shards of this host were looked through for requests. */
  #lookedThrough: ShardHost | undefined;
  /** When the next message of a shard will be too old, as of its last sweep. */
  readonly #dueAt = new Map<ShardId, number>();
  /** By the same clock. */
  #sweptAt = 0;
  #retentionChanges = 0;
  /** What `durableThrough` was when a shard was compacted. */
  readonly #compactedAt = new Map<ShardId, Offset>();
  #sweepAtMs: number;
  #compactAtMs: number;
  /** Something was erased that may still be in files. */
  #hasErased = false;
  /** The log had records that no segment has, erasures of what was too old perhaps among them. */
  #isLogRecovered = false;
  #isStopped = false;
  /** Resolved while it works in files, where it appends nothing to the log. */
  #inFiles = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;
  #isWoken = false;
  #cancelTimer: (() => void) | undefined;
  #endRest: (() => void) | undefined;

  constructor(parts: MaintenanceParts) {
    this.#parts = parts;
    this.#times = { ...MAINTENANCE_TIMES, ...parts.times };
    const now = parts.clock.monotonicMs();
    this.#sweepAtMs = now + this.#times.firstMs;
    this.#compactAtMs = now + this.#times.firstCompactMs;
    this.#wakeAfter(this.#times.firstMs);
  }

  /** A user's request is durable. */
  eraseUser(user: UserId): void {
    this.#erasing.add(user);
    this.#wake();
  }

  /** A group has set how long it keeps. */
  retentionChanged(group: Address): void {
    this.#dueAt.delete(shardOf(group));
    this.#retentionChanges++;
    this.#sweepAtMs = this.#parts.clock.monotonicMs();
    this.#wake();
  }

  /** Begins nothing more. What runs ends by itself, or when the store is closed: `ended` then. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer?.();
    this.#endRest?.();
  }

  /** After `stop`: nothing is appended to the log any more, and the store can be closed. */
  async quiet(): Promise<void> {
    if (this.#running !== undefined) await Promise.race([this.#running, this.#inFiles.promise]);
  }

  async ended(): Promise<void> {
    await this.#running;
  }

  #wakeAfter(ms: number): void {
    this.#cancelTimer?.();
    this.#cancelTimer = this.#isStopped ? undefined : this.#parts.clock.after(ms, () => this.#wake());
  }

  #wake(): void {
    if (this.#isStopped) return;
    this.#isWoken = true;
    this.#endRest?.();
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      // Woken in the turn in which it ended.
      if (this.#isWoken && this.#parts.isOpen()) this.#wake();
    });
  }

  /** @returns when there is nothing to do for now; a timer wakes it again. */
  async #run(): Promise<void> {
    let nextMs = this.#times.againMs;
    try {
      while (this.#isWoken && !this.#isStopped && this.#parts.isOpen()) {
        this.#isWoken = false;
        await this.#erase();
        if (!this.#isWoken) await this.#compact();
      }
      if (this.#parts.isOpen()) nextMs = this.#untilNext();
    } catch (error) {
      this.#lookedThrough = undefined;
      this.#sweepAtMs = Math.min(this.#sweepAtMs, this.#parts.clock.monotonicMs() + this.#times.againMs);
      // A store that is closed, or whose log has failed, says so in its own place.
      if (!this.#isStopped && this.#parts.isOpen())
        this.#parts.logger.warn("upkeep is interrupted, trying again later", { error });
    }
    this.#wakeAfter(nextMs);
  }

  #untilNext(): number {
    const now = this.#parts.clock.monotonicMs();
    return Math.max(1, Math.min(this.#sweepAtMs, this.#compactAtMs) - now);
  }

  readonly #stopped = (): boolean => this.#isStopped;

  // ---- erasing

  /** Everything that is asked for, or too old: first from what is read, then from the files. */
  async #erase(): Promise<void> {
    const host = this.#parts.host();
    await this.#lookForRequests(host);
    const users: UserId[] = [];
    for (const user of [...this.#erasing]) if (await this.#eraseUser(host, user)) users.push(user);
    await this.#sweep(host);
    const isDue = this.#hasErased || host.store.pendingErasures().length > 0;
    if (isDue && !(await this.#emptyFiles(host))) return;
    for (const user of users) await this.#finish(host, user);
  }

  async #finish(host: ShardHost, user: UserId): Promise<void> {
    // Before it is durable: whoever asks again after that is not to be forgotten.
    this.#erasing.delete(user);
    try {
      await finishErasure(host.home(user), user);
      this.#parts.logger.info("content of a user erased", { user });
    } catch (error) {
      if (!isOfOneStream(error)) throw error;
      this.#parts.logger.error("content of a user is erased, which cannot be noted", { user, error });
    }
  }

  /** @returns whether nobody is shown any of it any more */
  async #eraseUser(host: ShardHost, user: UserId): Promise<boolean> {
    try {
      const tidy = async (): Promise<void> => void (await this.#eraseNow(host, () => {}));
      await eraseRequested(host.home(user), user, { isStopped: this.#stopped, tidy });
    } catch (error) {
      if (!isOfOneStream(error)) throw error;
      this.#parts.logger.error("content of a user cannot be erased", { user, error });
      return false;
    }
    this.#mustGoOn();
    const state = host.users.get(user);
    const status = state && erasureStatus(state);
    // Counted over restarts: what a crash left in the log and not yet in files is among it.
    if (status?.state === "running" && status.entries > 0) this.#hasErased = true;
    return true;
  }

  /** @returns whether no file has them any more */
  async #emptyFiles(host: ShardHost): Promise<boolean> {
    const startedAt = this.#parts.clock.monotonicMs();
    const shards = new Set<ShardId>();
    if (!(await this.#eraseNow(host, (shard) => shards.add(shard)))) return false;
    this.#hasErased = false;
    const ms = Math.round(this.#parts.clock.monotonicMs() - startedAt);
    this.#parts.logger.info("erased entries are out of the files", { shards: shards.size, ms });
    return true;
  }

  /** @returns false when log files with erased entries have to be kept, for shards that are damaged */
  async #eraseNow(host: ShardHost, onShard: (shard: ShardId) => void): Promise<boolean> {
    try {
      await this.#workInFiles(() => host.store.eraseNow(onShard));
      return true;
    } catch (error) {
      if (!(error instanceof FlushError) || error.code !== KEPT_FOR_DAMAGED) throw error;
      this.#parts.logger.warn("erased entries stay in files", { error });
      return false;
    }
  }

  /** Once for each host, and after every failure: some may have been cut short. */
  async #lookForRequests(host: ShardHost): Promise<void> {
    if (this.#lookedThrough === host) return;
    for (const shard of SHARDS) {
      for (const user of unlessDamaged(() => beingErased(host.store.shard(shard))) ?? []) this.#erasing.add(user);
      await this.#nextTurn();
    }
    this.#isLogRecovered = host.store.recovery.records > 0;
    this.#lookedThrough = host;
  }

  async #sweep(host: ShardHost): Promise<void> {
    if (this.#parts.clock.monotonicMs() < this.#sweepAtMs) return;
    this.#sweepAtMs = this.#parts.clock.monotonicMs() + this.#times.sweepMs;
    this.#forgetIfClockWentBack();
    let entries = 0;
    for (const shard of SHARDS) {
      if ((this.#dueAt.get(shard) ?? 0) <= this.#parts.clock.now()) entries += await this.#sweepShard(host, shard);
    }
    this.#isLogRecovered = false;
    if (entries > 0) this.#parts.logger.info("messages that were too old erased", { entries });
  }

  /** What comes now is older than what those moments were reckoned from. */
  #forgetIfClockWentBack(): void {
    const now = this.#parts.clock.now();
    if (now < this.#sweptAt) this.#dueAt.clear();
    this.#sweptAt = now;
  }

  async #sweepShard(host: ShardHost, shard: ShardId): Promise<number> {
    const { keepDays, clock } = this.#parts;
    const changes = this.#retentionChanges;
    let entries = 0;
    // Whoever writes a first message later does so after now.
    let dueAt = keepDays === undefined ? Number.POSITIVE_INFINITY : expiresAt(clock.now(), keepDays);
    for (const stream of unlessDamaged(() => host.store.shard(shard).streams()) ?? []) {
      if (host.store.isDamaged(shard)) break;
      const swept = isAddress(stream) ? await this.#eraseOld(host, stream) : undefined;
      if (swept === undefined) continue;
      entries += swept.entries;
      dueAt = Math.min(dueAt, swept.dueAt);
      await this.#nextTurn();
    }
    if (changes === this.#retentionChanges) this.#dueAt.set(shard, dueAt);
    await this.#nextTurn();
    return entries;
  }

  async #eraseOld(host: ShardHost, stream: Address): Promise<Expired | undefined> {
    const { keepDays, clock } = this.#parts;
    try {
      const swept = await eraseExpired(host.ownerOf(stream), stream, {
        keepDays,
        nowMs: clock.now(),
        isStopped: this.#stopped,
      });
      if (swept !== undefined && (swept.entries > 0 || this.#isLogRecovered)) this.#hasErased = true;
      return swept;
    } catch (error) {
      if (!isOfOneStream(error)) throw error;
      this.#parts.logger.error("what is too old cannot be erased", { stream, error });
      return { entries: 0, dueAt: expiresAt(clock.now(), 0) };
    }
  }

  // ---- compacting

  /** One shard after the other, until all are done for this time or something else is to be done. */
  async #compact(): Promise<void> {
    if (this.#parts.clock.monotonicMs() < this.#compactAtMs) return;
    const { store } = this.#parts.host();
    const sum = { shards: 0, bytesBefore: 0, bytesAfter: 0 };
    this.#compactAtMs = this.#parts.clock.monotonicMs() + this.#times.compactMs;
    try {
      for (const shard of SHARDS) {
        if (this.#isWoken) break;
        await this.#compactShard(store, shard, sum);
      }
    } finally {
      if (sum.shards > 0) this.#parts.logger.info("segments packed tighter", sum);
    }
    // What is left is done behind what came in between.
    if (this.#isWoken) this.#compactAtMs = this.#parts.clock.monotonicMs();
  }

  async #compactShard(
    store: LogStore,
    shard: ShardId,
    sum: { shards: number; bytesBefore: number; bytesAfter: number },
  ): Promise<void> {
    const { clock } = this.#parts;
    if (store.isDamaged(shard)) return;
    const durableThrough = unlessDamaged(() => store.shard(shard).durableThrough) ?? 0;
    if (durableThrough === 0 || this.#compactedAt.get(shard) === durableThrough) return;
    while (store.pressure > PRESSURE_MAX && !this.#isWoken) await this.#rest(REST_MS_MAX);
    if (this.#isWoken) return;
    const startedAt = clock.monotonicMs();
    const report = await this.#workInFiles(() => store.compact(shard)).catch((error: unknown) => {
      if (!isDamage(error)) throw error;
    });
    if (report === undefined) return;
    const { filesBefore, filesAfter, bytesBefore, bytesAfter } = report;
    this.#compactedAt.set(shard, durableThrough);
    if (filesBefore !== filesAfter || bytesBefore !== bytesAfter) {
      sum.shards++;
      sum.bytesBefore += bytesBefore;
      sum.bytesAfter += bytesAfter;
    }
    await this.#rest(Math.min(REST_MS_MAX, REST * (clock.monotonicMs() - startedAt)));
  }

  #rest(ms: number): Promise<void> {
    this.#mustGoOn();
    if (this.#isWoken) return this.#nextTurn();
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        this.#endRest = undefined;
        resolve();
      };
      const cancel = this.#parts.clock.after(ms, end);
      this.#endRest = end;
    });
  }

  async #workInFiles<T>(work: () => Promise<T>): Promise<T> {
    this.#mustGoOn();
    this.#inFiles.resolve();
    try {
      return await work();
    } finally {
      this.#inFiles = Promise.withResolvers();
      this.#mustGoOn();
    }
  }

  async #nextTurn(): Promise<void> {
    await new Promise<void>((resolve) => void setImmediate(resolve));
    this.#mustGoOn();
  }

  /** @throws when it has been stopped, or the log has failed */
  #mustGoOn(): void {
    if (this.#isStopped || !this.#parts.isOpen()) throw new AppError("unavailable", "the shards are being closed");
  }
}
