/**
 * Work on the files of shards that is not a flush: taking out what was erased, packing tighter. It can be left off and
 * done again, and never holds up an append.
 */
import type { DamageControl } from "./damage-control.ts";
import type { DamagedShards } from "./damaged-shards.ts";
import type { Flusher } from "./flusher.ts";
import type { CommitLog, LogCut } from "../log/commit-log.ts";
import { FlushError, KEPT_FOR_DAMAGED } from "../files/flush-error.ts";
import type { CompactOptions, CompactReport, SegmentStore } from "../files/segment-store.ts";
import type { ShardId } from "../types.ts";

export type EraseProgress = (shard: ShardId, done: number, total: number) => void;

export type FileWorkPorts = {
  log: CommitLog;
  flusher: Flusher;
  segments: SegmentStore;
  damage: DamageControl;
  damaged: DamagedShards;
};

export class FileWork {
  readonly #ports: FileWorkPorts;

  constructor(ports: FileWorkPorts) {
    this.#ports = ports;
  }

  /** As `LogStore.eraseNow`. */
  async erase(onProgress?: EraseProgress): Promise<void> {
    const { log, segments } = this.#ports;
    await this.#eraseInLog();
    for (const shard of this.pendingErasures()) {
      await this.#inFiles(shard, () => segments.erase(shard, [], (done, total) => onProgress?.(shard, done, total)));
    }
    if (log.hasDamagedParts) {
      const what = 'damaged parts of the log are kept, erased entries among them perhaps; run "parley repair"';
      throw new FlushError(what, KEPT_FOR_DAMAGED);
    }
  }

  async #eraseInLog(): Promise<void> {
    const { log, flusher } = this.#ports;
    const cut = await log.cut();
    await flusher.flushAll(() => !this.#isNeeded(cut));
    flusher.trim();
    if (cut.isGone()) return;
    throw new FlushError("log files with erased entries could not be flushed and removed now; erase again", "EBUSY");
  }

  #isNeeded(cut: LogCut): boolean {
    for (const need of this.#ports.flusher.needed()) if (cut.holds(need)) return true;
    return false;
  }

  /** As `LogStore.pendingErasures`. */
  pendingErasures(): ShardId[] {
    const { segments, damaged } = this.#ports;
    return segments.pendingErasures().filter((shard) => !damaged.has(shard));
  }

  /** As `LogStore.compact`. */
  compact(shard: ShardId, options?: CompactOptions): Promise<CompactReport> {
    return this.#inFiles(shard, () => this.#ports.segments.compact(shard, options));
  }

  async #inFiles<T>(shard: ShardId, work: () => Promise<T>): Promise<T> {
    const { damage, damaged } = this.#ports;
    if (damaged.has(shard)) throw damaged.error(shard);
    try {
      return await work();
    } catch (error) {
      if (damage.closeIfDamaged(shard, error)) throw damaged.error(shard);
      throw error;
    }
  }
}
