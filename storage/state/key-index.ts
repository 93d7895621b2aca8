/**
 * Writing the two key tables. Membership of a key in a key run is decided before its block is written, because the block says so too
 * (`keyRun`): a search by halving may trust the order of the marked keys and of no others.
 *
 * Invariants: the key runs of one prefix do not overlap and rise; within one, counters rise in log order. A counter that does not exceed
 * the highest of its prefix gets a hash row instead; so of a key that occurs twice, the search meets the first one first.
 */
import { countedKey, keyHash } from "../segment/key-shape.ts";
import type { SqlDatabase } from "../sqlite.ts";
import type { RunRow } from "./state-file.ts";

/** How many flushes one key run may span, which bounds the directory that finding a key reads. */
const FLUSHES_PER_RUN_MAX = 512;

/** The newest key run of a stream and prefix, as far as extending it needs. */
type Tail = { counter_min: number; counter_max: number; flush: number };
type Growing = Tail & { streamNo: number; prefix: string; isNew: boolean; first: RunRow; last: RunRow };

export class KeyIndex {
  readonly #state: SqlDatabase;
  readonly #flush: number;
  /** Highest counter per stream and prefix, including what was decided but not yet placed. */
  readonly #highest = new Map<string, number>();
  /** As they were before this flush. */
  readonly #tails = new Map<string, Tail>();
  readonly #growing = new Map<string, Growing>();

  /** `flush` is the number of the flush that writes. */
  constructor(state: SqlDatabase, flush: number) {
    this.#state = state;
    this.#flush = flush;
  }

  /** Whether the next key of the stream, in log order, joins a key run. */
  joinsRun(streamNo: number, key: string): boolean {
    const counted = countedKey(key);
    if (counted === undefined) return false;
    const name = `${streamNo} ${counted.prefix}`;
    const highest = this.#highest.get(name) ?? this.#readTail(name, streamNo, counted.prefix);
    if (counted.counter <= highest) return false;
    this.#highest.set(name, counted.counter);
    return true;
  }

  /** Where a key went; a transaction must be open. Keys of a stream arrive in log order. Complete after `finish`. */
  add(streamNo: number, key: string, joinsRun: boolean, run: RunRow): void {
    if (joinsRun) this.#addToRun(streamNo, key, run);
    else {
      this.#state
        .sql("INSERT OR IGNORE INTO key_hash VALUES (?, ?, ?, ?)")
        .run(streamNo, keyHash(key), run.segment, run.block);
    }
  }

  /** Writes the key runs that began or grew. */
  finish(): void {
    const begin = this.#state.sql("INSERT INTO key_run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    const grow = this.#state.sql(
      `UPDATE key_run SET counter_max = ?, last_seq = ?, last_segment = ?, last_block = ?
       WHERE stream_no = ? AND prefix = ? AND counter_min = ?`,
    );
    for (const { streamNo, prefix, counter_min, counter_max, flush, isNew, first, last } of this.#growing.values()) {
      const to = [last.last_seq, last.segment, last.block];
      const from = [first.last_seq, first.segment, first.block];
      if (isNew) begin.run(streamNo, prefix, counter_min, counter_max, flush, ...from, ...to);
      else grow.run(counter_max, ...to, streamNo, prefix, counter_min);
    }
  }

  #addToRun(streamNo: number, key: string, run: RunRow): void {
    const { prefix, counter } = countedKey(key)!;
    const name = `${streamNo} ${prefix}`;
    const growing = this.#growing.get(name);
    if (growing !== undefined) {
      growing.counter_max = counter;
      growing.last = run;
      return;
    }
    const tail = this.#tails.get(name);
    const isNew = tail === undefined || this.#flush - tail.flush >= FLUSHES_PER_RUN_MAX;
    const base = isNew ? { counter_min: counter, flush: this.#flush } : tail;
    this.#growing.set(name, { ...base, counter_max: counter, streamNo, prefix, isNew, first: run, last: run });
  }

  /** Returns the highest counter, -1 for none. */
  #readTail(name: string, streamNo: number, prefix: string): number {
    const columns = "SELECT counter_min, counter_max, flush FROM key_run WHERE stream_no = ? AND prefix = ?";
    // At most one is young enough to grow. SQLite prepares an ORDER BY over parameters anew at each call, so that comes second.
    const oldest = this.#flush - FLUSHES_PER_RUN_MAX;
    const tail =
      this.#state.sql(`${columns} AND flush > ?`).get<Tail>(streamNo, prefix, oldest) ??
      this.#state.sql(`${columns} ORDER BY counter_min DESC LIMIT 1`).get<Tail>(streamNo, prefix);
    if (tail === undefined) return -1;
    this.#tails.set(name, tail);
    return tail.counter_max;
  }
}
