/**
 * Bounds how many states all tables of a node hold together. Above the bound the tables drop idle states between turns
 * of the event loop, one table after the other, a bounded number of looks at a time.
 */
const LOOKS_PER_TURN = 256;
/** Looks at one table before the next table's turn. */
const LOOKS_PER_TABLE = 32;

export type EvictedTable = {
  readonly size: number;
  /** Looks at so many of the states loaded longest ago, and drops the idle ones. @returns how many were dropped */
  evict(looks: number): number;
};

export class LoadBudget {
  readonly #loadedMax: number;
  /** Tables that hold states, in the order of their turns. */
  readonly #tables = new Set<EvictedTable>();
  #count = 0;
  #isEvicting = false;

  constructor(loadedMax: number) {
    this.#loadedMax = loadedMax;
  }

  loaded(table: EvictedTable): void {
    this.#count++;
    this.#tables.add(table);
    if (this.#count > this.#loadedMax) this.#evictSoon();
  }

  dropped(count: number): void {
    this.#count -= count;
  }

  #evictSoon(): void {
    if (this.#isEvicting) return;
    this.#isEvicting = true;
    setImmediate(() => {
      this.#isEvicting = false;
      this.#evict();
    });
  }

  #evict(): void {
    let looks = 0;
    for (const table of this.#tables) {
      const surplus = this.#count - this.#loadedMax;
      if (surplus <= 0 || looks >= LOOKS_PER_TURN) return;
      const wanted = Math.min(surplus, table.size, LOOKS_PER_TABLE, LOOKS_PER_TURN - looks);
      looks += Math.max(1, wanted);
      this.#count -= table.evict(wanted);
      this.#tables.delete(table);
      if (table.size > 0) this.#tables.add(table);
    }
  }
}
