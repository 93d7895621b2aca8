/**
 * The shards of a store that are open: one `ShardLog` for each that was asked for or has records in the log. A shard is
 * opened, closed and opened again alone.
 */
import type { DamageControl } from "./damage-control.ts";
import type { DamagedShards } from "./damaged-shards.ts";
import { FencedError, LogFailedError, type LogFailure } from "../errors.ts";
import type { Flusher } from "./flusher.ts";
import type { CommitLog, LogRange } from "../log/commit-log.ts";
import { type RecoveryPorts, ShardRecovery } from "./recovery.ts";
import type { SegmentStore } from "../files/segment-store.ts";
import { ShardLog } from "./shard-log.ts";
import { SlabPool } from "./slab-pool.ts";
import { atOnce } from "../steps.ts";
import type { LogPosition, ShardId } from "../types.ts";

export type OpenShardsPorts = {
  log: CommitLog;
  segments: SegmentStore;
  damaged: DamagedShards;
  damage: DamageControl;
  flusher: Flusher;
};

export class OpenShards {
  readonly #ports: OpenShardsPorts;
  readonly #logs = new Map<ShardId, ShardLog>();
  /** Shards whose files are being replaced. */
  readonly #replaced = new Set<ShardId>();
  readonly #slabs = new SlabPool();

  constructor(ports: OpenShardsPorts) {
    this.#ports = ports;
  }

  /** @throws DamagedShardError when it is closed */
  get(id: ShardId): ShardLog {
    return this.#logs.get(id) ?? this.#open(id);
  }

  list(): ShardLog[] {
    return [...this.#logs.values()];
  }

  /** Where the log may have records of the shard which its files do not have. */
  logRangeOf(id: ShardId): LogRange {
    const log = this.#logs.get(id);
    return this.#ports.log.rangeOf(id, log?.oldestPosition, log?.isAppending === true);
  }

  /** It is damaged: nothing of it is written any more. */
  close(id: ShardId): void {
    const log = this.#logs.get(id);
    if (log === undefined) return;
    this.#logs.delete(id);
    log.close(this.#ports.damaged.error(id));
    this.#ports.flusher.forget(log);
  }

  /** The log of these has failed. Those that are fenced refuse the next record at once. */
  failed(error: LogFailure, shards: readonly ShardId[]): void {
    if (error instanceof FencedError) for (const shard of shards) this.#logs.get(shard)?.close(error);
  }

  /** Brings what is read of the log to the shards, which it opens. */
  recovery(): ShardRecovery {
    return this.#recovery({
      shard: (id) => this.#getIfWhole(id),
      recovered: (log, bytes) => this.#ports.flusher.recovered(log, bytes),
    });
  }

  /** As `LogStore.reopenShard`. @param onOpen called in the turn in which the log becomes another one */
  reopen(id: ShardId, onOpen: () => void): Promise<ShardLog> {
    const flusher = this.#ports.flusher;
    // What the log has of the shard is needed, although the flusher knows nothing of it meanwhile.
    return flusher.withoutTrim(async () => {
      const before = this.get(id);
      flusher.forget(before);
      await flusher.quiet(before);
      const log = this.#new(id);
      let bytes = 0;
      const recovered = (_: ShardLog, recordBytes: number): void => void (bytes += recordBytes);
      const recovery = this.#recovery({ shard: (asked) => (asked === id ? log : undefined), recovered });
      await this.#ports.log.reopenShard(id, recovery);
      atOnce(recovery.end());
      // Its offsets are taken now.
      before.close(new LogFailedError(new Error(`shard ${id} was opened anew`)));
      this.#logs.set(id, log);
      onOpen();
      if (bytes > 0) flusher.recovered(log, bytes);
      return log;
    });
  }

  /** As `LogStore.replaceShard`. */
  replace(id: ShardId, place: () => Promise<void>): Promise<ShardLog> {
    const { flusher, segments } = this.#ports;
    return flusher.withoutTrim(async () => {
      if (this.#replaced.has(id)) throw new Error(`shard ${id} is being replaced already`);
      this.#replaced.add(id);
      try {
        await this.#giveToFiles(id);
        await segments.letGo(id);
        await place();
        await segments.letGo(id);
      } finally {
        this.#replaced.delete(id);
      }
      return this.get(id);
    });
  }

  /**
   * Ends the shard's log. Its files have all of it first: if they were replaced while records were in memory alone, a
   * `place` that throws would leave the log as the only place of records that nobody keeps it for.
   */
  async #giveToFiles(id: ShardId): Promise<void> {
    const { flusher, log } = this.#ports;
    const before = this.#logs.get(id);
    if (before === undefined) return;
    while (before.isAppending || before.isFlushing || !before.memtable.isEmpty) {
      await log.idle();
      await flusher.flushOne(before);
    }
    before.close(new LogFailedError(new Error(`shard ${id} was replaced`)));
    flusher.forget(before);
    this.#logs.delete(id);
  }

  #open(id: ShardId): ShardLog {
    const { damaged } = this.#ports;
    if (this.#replaced.has(id)) throw new FencedError(id, "its files are being replaced");
    if (damaged.has(id)) throw damaged.error(id);
    const log = this.#new(id);
    this.#logs.set(id, log);
    return log;
  }

  #new(id: ShardId): ShardLog {
    const { log, segments, flusher } = this.#ports;
    const applied = (changed: ShardLog, bytes: number): void => flusher.applied(changed, bytes);
    return new ShardLog(id, segments.reach(id), log, segments, this.#slabs, applied);
  }

  #getIfWhole(id: ShardId): ShardLog | undefined {
    try {
      return this.get(id);
    } catch (error) {
      if (this.#ports.damaged.has(id)) return undefined;
      throw error;
    }
  }

  #recovery(ports: Pick<RecoveryPorts, "shard" | "recovered">): ShardRecovery {
    const { segments, damage } = this.#ports;
    return new ShardRecovery({
      ...ports,
      mustBeUnused: () => segments.mustBeUnused(),
      flushed: (id) => {
        const { flushedThrough, flushedPosition, term } = segments.reach(id);
        return { offset: flushedThrough, position: flushedPosition ?? (0 as LogPosition), term };
      },
      onDamage: damage.closes ? damage.met : undefined,
    });
  }
}
