/**
 * Writing the two key tables. Membership of a key in a key run is decided before its block is written, because the block says so too
 * (`keyRun`): a search by halving may trust the order of the marked keys and of no others.
 *
 * Invariants: the key runs of one prefix do not overlap and rise; within one, counters rise in log order. A counter that does not exceed
 * the highest of its prefix gets a hash row instead; so of a key that occurs twice, the search meets the first one first.
 */
import { countedKey, keyHash } from "../segment/key-shape.ts";
import type { SqlDatabase } from "../sqlite.ts";
import type { KeyRunRow, RunRow } from "./state-file.ts";

/** How many flushes one key run may span, which bounds the directory that finding a key reads. */
const FLUSHES_PER_RUN_MAX = 512;

export class KeyIndex {
  readonly #state: SqlDatabase;
  readonly #flush: number;
  /** Highest counter per stream and prefix met in this flush, including what was decided but not yet written. */
  readonly #highest = new Map<string, number>();
  /** Newest key run per stream and prefix. */
  readonly #tails = new Map<string, KeyRunRow>();
  readonly #grown = new Set<KeyRunRow>();

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
    const highest = this.#highest.get(name) ?? this.#readTail(name, streamNo, counted.prefix)?.counter_max ?? -1;
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

  /** Writes the key runs that grew. */
  finish(): void {
    const put = this.#state.sql("INSERT OR REPLACE INTO key_run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    for (const row of this.#grown) {
      const first = [row.first_seq, row.first_segment, row.first_block];
      const last = [row.last_seq, row.last_segment, row.last_block];
      put.run(row.stream_no, row.prefix, row.counter_min, row.counter_max, row.flush, ...first, ...last);
    }
  }

  #addToRun(streamNo: number, key: string, run: RunRow): void {
    const { prefix, counter } = countedKey(key)!;
    const name = `${streamNo} ${prefix}`;
    let tail = this.#tails.get(name);
    if (tail === undefined || this.#flush - tail.flush >= FLUSHES_PER_RUN_MAX) {
      tail = this.#newRun(streamNo, prefix, counter, run);
      this.#tails.set(name, tail);
    }
    tail.counter_max = counter;
    tail.last_seq = run.last_seq;
    tail.last_segment = run.segment;
    tail.last_block = run.block;
    this.#grown.add(tail);
  }

  #newRun(streamNo: number, prefix: string, counter: number, run: RunRow): KeyRunRow {
    return {
      stream_no: streamNo,
      prefix,
      counter_min: counter,
      counter_max: counter,
      flush: this.#flush,
      first_seq: run.last_seq,
      first_segment: run.segment,
      first_block: run.block,
      last_seq: run.last_seq,
      last_segment: run.segment,
      last_block: run.block,
    };
  }

  #readTail(name: string, streamNo: number, prefix: string): KeyRunRow | undefined {
    const tail = this.#state
      .sql("SELECT * FROM key_run WHERE stream_no = ? AND prefix = ? ORDER BY counter_min DESC LIMIT 1")
      .get<KeyRunRow>(streamNo, prefix);
    if (tail !== undefined) this.#tails.set(name, tail);
    return tail;
  }
}
