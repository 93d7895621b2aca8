/**
 * How many states all tables of a node may hold together. Above that the tables drop idle ones between turns of the event loop, table after table, a
 * bounded look at a time.
 */
const LOOKS_PER_TURN = 256;
/** At one table before the next has its turn. */
const LOOKS_PER_TABLE = 32;

export type EvictedTable = {
  readonly size: number;
  /** Looks at so many of the longest loaded, and drops those that are idle. @returns how many */
  evict(looks: number): number;
};

export class LoadBudget {
  readonly #loadedMax: number;
  /** That hold something; the next to be looked at first. */
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
