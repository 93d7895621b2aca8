/**
 * Brings what is read of the log back into memtables.
 *
 * - Records that a flush already brought to segments are passed over by their offsets.
 * - A missing offset, a term that falls, and a part of the log that cannot be read are a `CorruptionError`, with file
 *   and
 *   place. Nothing is guessed. With `onDamage` the shards that it concerns are left out, and the others are recovered.
 * - The term of a shard is the highest that was read; that of its files where nothing was.
 *
 * Which shards a loss in the log concerns: offsets of a shard are dense, so one that goes on behind the loss where it
 * stood before has lost nothing, nor has one whose files have what comes next. One that lacks offsets has. Of all
 * others, those that wrote nothing behind it, nobody knows: they may have written in it, so they are left out, too.
 */
import { CorruptionError } from "../errors.ts";
import type { LogLoss, LogReach, LogPart, LogRead, LogReader } from "../log/commit-log.ts";
import { RECORD_HEADER_BYTES, recordEnd, recordOffset, recordShard } from "../encoding/record.ts";
import { RecoveredStreams } from "./recovered-streams.ts";
import type { OnDamage } from "../files/segment-store.ts";
import type { ShardLog } from "./shard-log.ts";
import type { Steps } from "../steps.ts";
import { SHARD_COUNT, type ShardId, type Term } from "../types.ts";

export type Recovery = LogRead & {
  /** Records that were applied: those above their shard's `flushedThrough`. */
  records: number;
  /** Damaged parts that were passed over. */
  gaps: number;
};

export type RecoveryPorts = {
  /** Undefined for a shard that is damaged. */
  shard: (id: ShardId) => ShardLog | undefined;
  flushed: (id: ShardId) => LogReach;
  /** Asked where the log was never begun. @throws CorruptionError when what is made behind its first file is there */
  mustBeUnused: () => void;
  /** A memtable has grown by so many bytes. */
  recovered: (log: ShardLog, bytes: number) => void;
  /**
   * Told of each shard that is damaged, once; undefined: damage is thrown. `shard` says undefined for it from then on.
   */
  onDamage: OnDamage | undefined;
};

/** Takes the records of one part of the log after another. */
export class ShardRecovery implements LogReader {
  readonly #ports: RecoveryPorts;
  /** Null for a shard that is damaged. */
  readonly #logs: (ShardLog | null | undefined)[] = [];
  readonly #losses: CorruptionError[] = [];
  /** In how many of the losses each shard has lost nothing for certain. */
  readonly #passed = new Uint32Array(SHARD_COUNT);
  /** As in `Recovery`. */
  copied = 0;
  gaps = 0;

  constructor(ports: RecoveryPorts) {
    this.#ports = ports;
  }

  flushed(shard: ShardId): LogReach {
    return this.#ports.flushed(shard);
  }

  neverBegun(): void {
    this.#ports.mustBeUnused();
  }

  loss({ error, isEmpty }: LogLoss): void {
    if (this.#ports.onDamage === undefined) throw error;
    this.gaps++;
    if (!isEmpty) this.#losses.push(error);
  }

  term(shard: ShardId, term: Term): void {
    const log = this.#log(shard);
    const fault = log?.beginTerm(term);
    if (fault !== undefined)
      this.#leaveOut(shard, new CorruptionError("the log", `term ${term}`, `shard ${shard} ${fault}`));
  }

  records(part: LogPart, from: number, to: number): void {
    const { bytes } = part;
    for (let at = from; at < to;) {
      const end = recordEnd(bytes, at);
      const shard = recordShard(bytes, at);
      if (end > to || end < at + RECORD_HEADER_BYTES || shard >= SHARD_COUNT)
        return this.loss({
          error: new CorruptionError(part.name, `byte ${at}`, "a record is not whole"),
          isEmpty: false,
        });
      const log = this.#log(shard);
      if (log !== null) this.#copy(log, part, at, end);
      at = end;
    }
  }

  /** After the last part: lets the records take effect. */
  *end(): Steps<void> {
    if (this.#losses.length > 0) this.#leaveOutUnknown();
    const streams = new RecoveredStreams();
    for (const log of this.#logs) {
      if (log) this.#apply(log, streams);
      yield;
    }
  }

  #log(shard: ShardId): ShardLog | null {
    return (this.#logs[shard] ??= this.#ports.shard(shard) ?? null);
  }

  #copy(log: ShardLog, { name, bytes, position }: LogPart, at: number, end: number): void {
    const before = log.durableThrough;
    const fault = log.recover(recordOffset(bytes, at), bytes, at, end, position);
    if (fault !== undefined)
      return this.#leaveOut(log.shard, new CorruptionError(name, `byte ${at}`, `shard ${log.shard} ${fault}`));
    this.#passed[log.shard] = this.#losses.length;
    if (log.durableThrough === before) return;
    this.copied++;
    this.#ports.recovered(log, end - at);
  }

  #apply(log: ShardLog, streams: RecoveredStreams): void {
    try {
      this.#applyCounted(log, streams);
    } catch (error) {
      if (this.#ports.onDamage === undefined) throw error;
      const what = `records that cannot be read (${error instanceof Error ? error.message : String(error)})`;
      this.#leaveOut(log.shard, new CorruptionError("the log", `records of shard ${log.shard}`, what));
    }
  }

  #applyCounted(log: ShardLog, streams: RecoveredStreams): void {
    const before = log.memtable.memoryBytes;
    try {
      log.recovered(streams);
    } finally {
      const grown = log.memtable.memoryBytes - before;
      // A shard without records is not one that has something to flush.
      if (grown > 0) this.#ports.recovered(log, grown);
    }
  }

  #leaveOutUnknown(): void {
    for (const [shard, passed] of this.#passed.entries()) {
      const loss = this.#losses[passed];
      if (loss !== undefined && this.#logs[shard] !== null) this.#leaveOut(shard as ShardId, loss);
    }
  }

  #leaveOut(shard: ShardId, error: CorruptionError): void {
    if (this.#ports.onDamage === undefined) throw error;
    this.#logs[shard] = null;
    this.#ports.onDamage(shard, error);
  }
}
