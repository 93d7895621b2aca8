/**
 * Bounds the memory of the states that all tables of a node hold together, in estimated bytes. Above the bound the
 * tables drop idle states between turns of the event loop, one table after the other, a bounded number of looks at a
 * time.
 *
 * A state becomes idle without a call: its user leaves, or a flush has written what it holds. So somebody has to call
 * `look` now and then.
 */
const LOOKS_PER_TURN = 256;
/** Looks at one table before the next table's turn. */
const LOOKS_PER_TABLE = 32;

export type EvictedTable = {
  readonly size: number;
  /**
   * Looks at so many of the states loaded longest ago, and drops the idle ones while the budget is exceeded. @returns
   * how many were dropped
   */
  evict(looks: number): number;
};

export class LoadBudget {
  readonly #bytesMax: number;
  /** Tables that hold states, in the order of their turns. */
  readonly #tables = new Set<EvictedTable>();
  #bytes = 0;
  #isEvicting = false;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Estimated bytes of all states. */
  get bytes(): number {
    return this.#bytes;
  }

  get isExceeded(): boolean {
    return this.#bytes > this.#bytesMax;
  }

  loaded(table: EvictedTable): void {
    this.#tables.add(table);
    this.look();
  }

  /** By how many bytes the states have grown. */
  changed(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Drops idle states soon if there are too many. */
  look(): void {
    if (this.#isEvicting || !this.isExceeded) return;
    this.#isEvicting = true;
    setImmediate(() => {
      this.#isEvicting = false;
      if (this.#evict() > 0) this.look();
    });
  }

  #evict(): number {
    let looks = 0;
    let dropped = 0;
    for (const table of this.#tables) {
      if (!this.isExceeded || looks >= LOOKS_PER_TURN) break;
      const wanted = Math.min(table.size, LOOKS_PER_TABLE, LOOKS_PER_TURN - looks);
      looks += Math.max(1, wanted);
      dropped += table.evict(wanted);
      this.#tables.delete(table);
      if (table.size > 0) this.#tables.add(table);
    }
    return dropped;
  }
}
