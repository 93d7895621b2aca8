/**
 * Ranks: the order in which entries of different logs were appended on this node. The list of conversations uses it
 * (src/home/reading/conversation-list.ts): seqs order one log, and a user's conversations are in several.
 *
 * This is a hybrid logical clock. A rank is the wall-clock time, or the rank before, if the clock shows less. So an
 * entry's time usually tells its rank, and nothing more is stored. The order does not depend on the clock.
 *
 * Invariants
 * - Ranks never fall, not even over a restart.
 * - An entry of a group has a rank above all ranks before it. A direct message may share the rank before it. So of two
 *   equal ranks the direct message is the later one, and seqs order two direct messages.
 * - No entry in the log has a rank above the reservation that stands in the log before it: the cell `ranks` of one of
 *   the node's shards, usually `RANKS_SHARD`. A start continues from the highest one.
 *
 * After a crash ranks begin up to a minute ahead of the clock. Until the clock catches up, entries store the
 * difference.
 */
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../storage/shard/staged-record.ts";
import { shardOf, type Address } from "../domain/address.ts";
import { RANKS_PER_MS, rankOfTime } from "../domain/rank.ts";
import { cellNumber, SHARD_STREAM } from "./state/cells.ts";
import { unlessDamaged } from "./damage.ts";

/** The shard of `$node`, as if a node had an address: any shard would do. */
export const RANKS_SHARD = shardOf("$node" as Address);

const CELL = "ranks";
/** A reservation is one small record: one a minute, and one when the clock jumps ahead. */
const RESERVED = 60_000 * RANKS_PER_MS;

export class Ranks {
  readonly #log: () => ShardLog | undefined;
  #last = 0;
  #reserved = 0;

  /** @param log where reservations are written; undefined for a node without shards, which appends nothing */
  constructor(log: () => ShardLog | undefined) {
    this.#log = log;
  }

  /**
   * Continues from the reservations of these logs. Called before anything is appended. @throws CorruptionError
   */
  begin(logs: Iterable<ShardLog>): void {
    for (const log of logs) this.#last = Math.max(this.#last, cellNumber(log.cell(SHARD_STREAM, CELL)));
    this.#reserved = this.#last;
  }

  /** A shard has come from another node, whose reservation may be in it. */
  observeLog(log: ShardLog): void {
    this.observe(cellNumber(log.cell(SHARD_STREAM, CELL)));
  }

  /** The log of reservations is another one now: the reservation is written there, too. */
  moved(): void {
    if (this.#reserved > 0) this.#reserve(this.#reserved);
  }

  /** Of the entry that was appended last, or higher. */
  get last(): number {
    return this.#last;
  }

  /** The rank for a direct message that is appended next. @param sentAt Unix ms */
  direct(sentAt: number): number {
    const time = rankOfTime(sentAt);
    if (time > this.#last) this.#last = time;
    if (this.#last > this.#reserved) this.#reserve(this.#last + RESERVED);
    return this.#last;
  }

  /** The rank for an entry of a group that is appended next. @param at Unix ms */
  group(at: number): number {
    const time = rankOfTime(at);
    this.#last = time > this.#last ? time : this.#last + 1;
    if (this.#last > this.#reserved) this.#reserve(this.#last + RESERVED);
    return this.#last;
  }

  /** A direct message that was handed over is appended next with this rank. */
  handedOver(rank: number): void {
    if (rank <= this.#last) return;
    this.#last = rank;
    if (rank > this.#reserved) this.#reserve(rank + RESERVED);
  }

  /** An entry with this rank exists, perhaps from another node: later entries get higher ranks. */
  observe(rank: number): void {
    if (rank > this.#last) this.#last = rank;
  }

  /** Nothing more is appended: the next start continues from the last rank, not from the reservation. */
  end(): void {
    if (this.#last < this.#reserved) this.#reserve(this.#last);
  }

  /** If the shard is damaged nothing can be reserved, and the order may be wrong after a start with another clock. */
  #reserve(through: number): void {
    this.#reserved = through;
    unlessDamaged(() => {
      const log = this.#log();
      log?.append({
        encode: () => log.putNumbers(new StreamHandle(SHARD_STREAM, log.head(SHARD_STREAM)), CELL, through),
        committed: () => {},
        failed: () => {},
      });
    });
  }
}
