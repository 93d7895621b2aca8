/**
 * Which entry of a stream, or which key set alone, has a key: of one stream in one memtable.
 *
 * Keys are put into an index when somebody looks one up, so many at a time: a stream may have more than a hundred
 * thousand in memory, right after a start above all. What is not indexed yet is compared where it stands, which costs a
 * tenth of indexing it.
 */
import type { Memtable } from "./memtable.ts";
import { OP_ENTRY, Operation } from "../encoding/operation.ts";
import type { KeyHit, Seq } from "../types.ts";

/**
 * Places of what has keys, in the order in which it came; both grow. `forgotten`: entries that are tombstones by now.
 */
export type KeyPlaces = {
  alone: readonly number[];
  entries: readonly number[];
  forgotten: ReadonlySet<Seq> | undefined;
};

/** About a millisecond. */
export const INDEXED_AT_ONCE = 2048;

export class MemKeys {
  readonly #table: Memtable;
  readonly #index = new Map<string, KeyHit>();
  readonly #operation = new Operation();
  #aloneThrough = 0;
  #entriesThrough = 0;

  constructor(table: Memtable) {
    this.#table = table;
  }

  /** Of a key that occurs twice the first is found, as in the segments. */
  find(key: string, places: KeyPlaces): KeyHit | undefined {
    if (key === "") return undefined;
    this.#aloneThrough = this.#add(places.alone, this.#aloneThrough, places);
    this.#entriesThrough = this.#add(places.entries, this.#entriesThrough, places);
    return (
      this.#index.get(key) ??
      this.#search(key, places.alone, this.#aloneThrough, places) ??
      this.#search(key, places.entries, this.#entriesThrough, places)
    );
  }

  /** The entry at `seq` is a tombstone. */
  forget(key: string, seq: Seq): void {
    if (this.#index.get(key)?.seq === seq) this.#index.delete(key);
  }

  #add(list: readonly number[], from: number, places: KeyPlaces): number {
    const end = Math.min(list.length, from + INDEXED_AT_ONCE);
    for (let at = from; at < end; at++) {
      this.#table.read(list[at]!, this.#operation);
      const key = this.#operation.key();
      if (key === "" || this.#index.has(key)) continue;
      const hit = this.#hit(places);
      if (hit !== undefined) this.#index.set(key, hit);
    }
    return end;
  }

  #search(key: string, list: readonly number[], from: number, places: KeyPlaces): KeyHit | undefined {
    for (let at = from; at < list.length; at++) {
      this.#table.read(list[at]!, this.#operation);
      const hit = this.#operation.isKey(key) ? this.#hit(places) : undefined;
      if (hit !== undefined) return hit;
    }
    return undefined;
  }

  #hit({ forgotten }: KeyPlaces): KeyHit | undefined {
    const { kind, seq } = this.#operation;
    if (kind !== OP_ENTRY) return { seq, value: this.#operation.value() };
    return forgotten?.has(seq) === true ? undefined : { seq, value: null };
  }
}

/**
 * The highest counter of the keys that are `prefix` and a plain number; -1 when there is none. Keys of tombstones
 * count.
 */
export function highestCounter(table: Memtable, prefix: string, { alone, entries }: KeyPlaces): number {
  const operation = new Operation();
  let highest = -1;
  for (const list of [alone, entries]) {
    for (const place of list) {
      table.read(place, operation);
      const counter = operation.counterBehind(prefix);
      if (counter > highest) highest = counter;
    }
  }
  return highest;
}
