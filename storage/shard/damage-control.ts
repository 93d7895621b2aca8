/**
 * What a store does when damage is met: throws it, or closes the shard whose data it is, so that the others go on.
 *
 * A closed shard is neither read nor written. Nothing of it is flushed, so its files stay as they are, and so do the
 * log files that may hold records of it (damaged-shards.ts). What was appended to it before is still written, and its
 * owners notified.
 */
import type { LogRange } from "../log/commit-log.ts";
import { DamagedShards, type Damage } from "./damaged-shards.ts";
import { isOfDamage } from "../files/flush-error.ts";
import type { OnDamage } from "../files/segment-store.ts";
import { SHARD_COUNT, type ShardId } from "../types.ts";

/**
 * "refuse": the read or flush that meets damage throws it, and so does the opening. "close": the shard is closed, and
 * noted on disk. "refuse to open": damage that is found while the store is opened is thrown, and what is found later
 * closes its shard.
 */
export type DamagePolicy = "refuse" | "close" | "refuse to open";

export type DamagePorts = {
  policy: DamagePolicy;
  damaged: DamagedShards;
  /** @throws DirectoryLostError when the directory is not the store's any more: what is missing there is not damaged */
  mustOwn: () => void;
  /** Where the log may have records of the shard which its own files do not have. */
  logRangeOf: (shard: ShardId) => LogRange;
  /** The shard is on the list; nothing of it is to be written any more. */
  onClose: (shard: ShardId) => void;
  /** These are closed. Called once at the opening, for all that are, and then for each that is found. */
  onDamage: (damages: readonly Damage[]) => void;
  /** The list could not be written. No log file goes before it is; then it is tried again. */
  onUnsaved: (error: unknown) => void;
};

export class DamageControl {
  readonly #ports: DamagePorts;
  #closes: boolean;
  #isOpening = true;

  constructor(ports: DamagePorts) {
    this.#ports = ports;
    this.#closes = ports.policy === "close";
  }

  /** Whether damage closes its shard, in place of being thrown. */
  get closes(): boolean {
    return this.#closes;
  }

  /** @throws DamagedShardError when shards are damaged and damage is thrown */
  begin(): void {
    const [first] = this.#ports.damaged.list();
    if (first !== undefined && !this.#closes) throw this.#ports.damaged.error(first.shard);
  }

  /** All that the opening reads was read. @throws DamagedShardError when no shard is whole */
  recovered(): void {
    const { damaged } = this.#ports;
    if (damaged.size === SHARD_COUNT) throw damaged.error(0 as ShardId);
    this.#save();
  }

  opened(): void {
    this.#isOpening = false;
    if (this.#ports.policy !== "refuse") this.#closes = true;
    if (this.#ports.damaged.size > 0) this.#ports.onDamage(this.#ports.damaged.list());
  }

  /** Somebody met damage of a shard. @throws it, where that is what damage does; DirectoryLostError when it is none */
  readonly met: OnDamage = (shard, error) => {
    this.#ports.mustOwn();
    if (!this.#closes) throw error;
    this.#close(shard, error);
  };

  /** After a flush, an erasure or a compaction that failed. @returns whether the shard is closed now */
  closeIfDamaged(shard: ShardId, error: unknown): boolean {
    if (this.#closes && isOfDamage(error) && this.#isOwned) this.#close(shard, error);
    return this.#ports.damaged.has(shard);
  }

  get #isOwned(): boolean {
    try {
      this.#ports.mustOwn();
      return true;
    } catch {
      return false;
    }
  }

  #close(shard: ShardId, error: unknown): void {
    const { damaged, logRangeOf, onClose, onDamage } = this.#ports;
    if (damaged.has(shard)) return;
    damaged.add({ shard, what: error instanceof Error ? error.message : String(error), ...logRangeOf(shard) });
    onClose(shard);
    if (this.#isOpening) return;
    this.#save();
    onDamage(damaged.list().filter((damage) => damage.shard === shard));
  }

  #save(): void {
    try {
      this.#ports.damaged.save();
    } catch (error) {
      this.#ports.onUnsaved(error);
    }
  }
}
