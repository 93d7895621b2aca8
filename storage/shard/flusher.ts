/**
 * Decides when memtables become segments, and trims the log behind them.
 *
 * A shard is flushed when its own memtable, all memtables together, or the log grow past a limit. The shard that holds
 * back the most of the log goes first, and few go at a time, so that neither the disk nor the log's own writes are
 * flooded.
 *
 * A shard whose flush fails is tried again every second. When it begins to fail, nothing starts until then: what
 * stopped one flush (a full disk) would stop the others. When it only goes on failing, the others go on.
 *
 * After a crash in a flush: when the shard's `flushedThrough` has moved, recovery skips those records. When it has not,
 * recovery applies them again.
 */
import type { CommitLog, Needed } from "../log/commit-log.ts";
import type { ShardLog } from "./shard-log.ts";
import { FlushError } from "../files/flush-error.ts";
import type { FlushJob, SegmentStore } from "../files/segment-store.ts";
import type { Memtable } from "./memtable.ts";

/**
 * Cells derived by the store's user from the records up to now, as cell operations of `storage/encoding/record.ts`.
 * Called when a memtable is frozen.
 */
export type Checkpoint = (log: ShardLog) => Uint8Array<ArrayBuffer>;

export type FlusherLimits = {
  /** One shard's memtable, bytes. */
  shardBytesMax: number;
  /** All memtables together, bytes. */
  totalBytesMax: number;
  /** Shards that are flushed at once; what they have little of goes to disk together. */
  shardsAtOnce: number;
  /** Bytes that are flushed at once; a single shard may have more. */
  bytesAtOnce: number;
  /** How long `close` waits for flushes that are under way, ms. */
  closeMsMax: number;
};

export type FlusherPorts = {
  segments: SegmentStore;
  /** Nothing is flushed when it is not the store's own any more. */
  log: Pick<CommitLog, "fullness" | "heldBack" | "mustOwn" | "trim">;
  checkpoint: Checkpoint;
  /** A flush failed; it is tried again after a second. */
  onFailure: (error: unknown) => void;
  /** A flush met damage of its shard. @returns whether the shard is closed now; otherwise the flush is tried again */
  onDamage: (log: ShardLog, error: unknown) => boolean;
};

type PendingFlush = { log: ShardLog; frozen: Memtable; checkpoint: Uint8Array<ArrayBuffer> };

const RETRY_MS = 1000;

export class Flusher {
  readonly #limits: FlusherLimits;
  readonly #ports: FlusherPorts;
  readonly #dirty = new Set<ShardLog>();
  /** Shards whose own memtable is too large. */
  readonly #large = new Set<ShardLog>();
  /** By shard: flushes of one never overlap. */
  readonly #running = new Map<ShardLog, Promise<void>>();
  #runningBytes = 0;
  #totalBytes = 0;
  #drainTo: number | undefined;
  /** Shards whose last try has failed, with what was frozen for it. Retries alone start them. */
  readonly #failing = new Map<ShardLog, PendingFlush | undefined>();
  /** Of those: whose turn it is. */
  #due: ShardLog[] = [];
  /** A shard has begun to fail. */
  #isPaused = false;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;
  #trimPauses = 0;
  /** Flushes that have ended since the log was trimmed. */
  #untrimmed = 0;
  /** Why the last flush failed; undefined when it did not. */
  #failure: unknown;

  constructor(limits: FlusherLimits, ports: FlusherPorts) {
    this.#limits = limits;
    this.#ports = ports;
  }

  /** Estimated memory of all memtables, frozen ones included. */
  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** Why the last flush failed, while none has succeeded since. */
  get failure(): unknown {
    return this.#failure;
  }

  /** The memtable has grown by so many bytes. */
  applied(log: ShardLog, bytes: number): void {
    this.recovered(log, bytes);
    if (log.memtable.memoryBytes > this.#limits.shardBytesMax && !log.isFlushing) this.#large.add(log);
  }

  /** A record found in the log at start: counted, but nothing is flushed before all are there. */
  recovered(log: ShardLog, bytes: number): void {
    if (log.isClosed) return;
    this.#totalBytes += bytes;
    if (log.isDirty) return;
    log.isDirty = true;
    this.#dirty.add(log);
  }

  /** What it has is not flushed any more, and holds back no log. A flush that runs goes on, and is not repeated. */
  forget(log: ShardLog): void {
    this.#large.delete(log);
    if (!this.#dirty.delete(log)) return;
    this.#totalBytes -= log.memtable.memoryBytes;
    const failed = this.#failing.get(log);
    this.#failing.delete(log);
    if (failed !== undefined && !this.#running.has(log)) this.#totalBytes -= failed.frozen.memoryBytes;
  }

  /** Starts what the limits ask for. Cheap: called after every commit. */
  check(): void {
    if (this.#large.size > 0) this.#startLarge();
    const isOver = this.#totalBytes > this.#limits.totalBytesMax || this.#isLogFull;
    // Only by what is flushed at once: flushing goes on as evenly as records come, with the largest memtables.
    const { totalBytesMax, bytesAtOnce } = this.#limits;
    if (isOver) this.#drainTo ??= Math.max(totalBytesMax / 2, totalBytesMax - bytesAtOnce);
    if (this.#drainTo === undefined) return;
    if (!isOver && this.#totalBytes <= this.#drainTo) {
      this.#drainTo = undefined;
      return;
    }
    while (!this.#isClosed && this.#hasRoom()) {
      const next = this.#oldest();
      if (!next) return;
      this.#start(next);
    }
  }

  /** Those that grow too large together are frozen when it is their turn: all the worker does is in one thread. */
  #startLarge(): void {
    for (const log of this.#large) {
      if (!this.#hasRoom()) return;
      this.#large.delete(log);
      this.#start(log);
    }
  }

  /** The log is too long, and flushing shortens it: it does not when a shard that fails holds back the most. */
  get #isLogFull(): boolean {
    if (this.#ports.log.fullness < 1) return false;
    if (this.#failing.size === 0) return true;
    let [byFailing, byOthers] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const need of this.#needs()) {
      const heldBack = this.#ports.log.heldBack(need);
      if (this.#failing.has(need.log)) byFailing = Math.max(byFailing, heldBack);
      else byOthers = Math.max(byOthers, heldBack);
    }
    return byOthers > byFailing;
  }

  #hasRoom(): boolean {
    return this.#running.size < this.#limits.shardsAtOnce && this.#runningBytes < this.#limits.bytesAtOnce;
  }

  /** Flushes every shard that has something, until done or `signal` says stop; what is left stays in the log. */
  async flushAll(stopped: () => boolean): Promise<void> {
    while (!stopped() && !this.#isClosed) {
      const next = this.#hasRoom() ? this.#oldest() : undefined;
      if (next) this.#start(next);
      else if (this.#running.size > 0) await Promise.race(this.#running.values());
      else return;
    }
  }

  /**
   * Flushes all that one shard has.
   * @throws FlushError while that fails; what it has is flushed later, like that of any other
   */
  async flushOne(log: ShardLog): Promise<void> {
    while (log.isFlushing || !log.memtable.isEmpty) {
      if (!this.#running.has(log)) this.#start(log);
      const running = this.#running.get(log);
      if (running === undefined) throw new FlushError(`shard ${log.shard} cannot be flushed now`, "EBUSY");
      await running;
    }
  }

  /** Waits for what runs, up to `closeMsMax`; nothing is begun any more. What is not flushed stays in the log. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#retryTimer);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, this.#limits.closeMsMax)));
    await Promise.race([Promise.all(this.#running.values()), late]);
    clearTimeout(timer);
    clearTimeout(this.#retryTimer);
  }

  /** A flush is under way. After `close`: it took longer than that waits. */
  get isFlushing(): boolean {
    return this.#running.size > 0;
  }

  /** Resolves when no flush of it is under way. */
  async quiet(log: ShardLog): Promise<void> {
    await this.#running.get(log);
  }

  /** The shard that holds back the most of the log. */
  #oldest(): ShardLog | undefined {
    if (this.#isPaused) return undefined;
    let oldest: ShardLog | undefined;
    let most = Number.NEGATIVE_INFINITY;
    for (const log of this.#dirty) {
      if (log.isClosed || log.isFlushing || log.memtable.isEmpty || this.#failing.has(log)) continue;
      const heldBack = this.#ports.log.heldBack({ shard: log.shard, from: log.memtable.firstPosition });
      if (heldBack <= most) continue;
      oldest = log;
      most = heldBack;
    }
    return oldest;
  }

  #start(log: ShardLog): void {
    if (this.#isClosed || log.isClosed || log.isFlushing || this.#isPaused || this.#failing.has(log)) return;
    this.#begin(log);
  }

  #begin(log: ShardLog): void {
    try {
      const checkpoint = this.#ports.checkpoint(log);
      // It was found damaged just now.
      if (log.isClosed) return;
      this.#send({ log, frozen: log.freeze(), checkpoint });
    } catch (error) {
      this.#failed(log, undefined, error);
    }
  }

  #send(flush: PendingFlush): void {
    const { memoryBytes: bytes } = flush.frozen;
    this.#runningBytes += bytes;
    const running: Promise<void> = this.#flush(flush).finally(() => {
      this.#running.delete(flush.log);
      this.#runningBytes -= bytes;
      this.#trimAfterMany();
      this.#retryDue();
      this.check();
    });
    this.#running.set(flush.log, running);
  }

  async #flush(flush: PendingFlush): Promise<void> {
    const { log, frozen } = flush;
    try {
      this.#ports.log.mustOwn();
      if (!this.#isThereAlready(flush)) await this.#ports.segments.flush(flushJob(flush));
    } catch (error) {
      if (log.isClosed || !this.#dirty.has(log) || this.#ports.onDamage(log, error)) {
        this.#totalBytes -= frozen.memoryBytes;
        return;
      }
      this.#failed(log, flush, error);
      return;
    }
    this.#failure = undefined;
    this.#failing.delete(log);
    log.flushed();
    this.#totalBytes -= frozen.memoryBytes;
    if (!log.isClosed && log.memtable.isEmpty) {
      log.isDirty = false;
      this.#dirty.delete(log);
    }
    this.#untrimmed++;
  }

  /** A flush that was reported as failed may have reached the disk all the same. */
  #isThereAlready({ log, frozen }: PendingFlush): boolean {
    return this.#failing.has(log) && this.#ports.segments.reach(log.shard).flushedThrough >= frozen.lastOffset;
  }

  #failed(log: ShardLog, flush: PendingFlush | undefined, error: unknown): void {
    this.#failure = error;
    this.#ports.onFailure(error);
    if (!this.#failing.has(log)) this.#isPaused = true;
    this.#failing.set(log, flush);
    if (this.#isClosed) return;
    this.#retryTimer ??= setTimeout(() => {
      this.#retryTimer = undefined;
      this.#isPaused = false;
      this.#due = [...this.#failing.keys()];
      this.#retryDue();
      this.check();
    }, RETRY_MS);
  }

  /** As many at once as of others. */
  #retryDue(): void {
    while (!this.#isClosed && this.#due.length > 0 && this.#hasRoom()) {
      const log = this.#due.shift()!;
      if (!this.#failing.has(log) || this.#running.has(log)) continue;
      const flush = this.#failing.get(log);
      if (flush === undefined) this.#begin(log);
      else this.#send(flush);
    }
  }

  /** What the log is needed for: of each shard the oldest record that is not in segments. */
  needed(): Iterable<Needed> {
    return this.#needs();
  }

  *#needs(): Iterable<Needed & { log: ShardLog }> {
    for (const log of this.#dirty) {
      const from = log.oldestPosition;
      if (from !== undefined) yield { shard: log.shard, from, log };
    }
  }

  /** Asks all shards what the log is needed for: not once for each of those that are flushed together. */
  #trimAfterMany(): void {
    if (this.#untrimmed === 0) return;
    if (this.#running.size === 0 || this.#untrimmed >= this.#limits.shardsAtOnce) this.trim();
  }

  /** The log goes as far as nobody needs it. */
  trim(): void {
    this.#untrimmed = 0;
    if (this.#trimPauses === 0) this.#ports.log.trim(this.needed());
  }

  /** Nothing is trimmed until `work` has ended: it reads the log for a shard that is not known here yet. */
  async withoutTrim<T>(work: () => Promise<T>): Promise<T> {
    this.#trimPauses++;
    try {
      return await work();
    } finally {
      this.#trimPauses--;
    }
  }
}

function flushJob({ log, frozen, checkpoint }: PendingFlush): FlushJob {
  const streams = [...frozen.streams.values()].map(({ name, streamNo, headSeq }) => ({ name, streamNo, headSeq }));
  const { shard } = log;
  return {
    shard,
    term: frozen.lastTerm,
    throughOffset: frozen.lastOffset,
    throughPosition: frozen.lastPosition,
    image: frozen.image(),
    checkpoint,
    streams,
  };
}
