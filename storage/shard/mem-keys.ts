/**
 * Which entry of a stream, or which key set alone, has a key: of one stream in one memtable.
 *
 * Keys are put into an index when one is looked up, so many at a time: a stream may have more than a hundred
 * thousand in memory, right after a start above all. What is not indexed yet is compared where it stands, which costs a
 * tenth of indexing it.
 */
import { OP_ENTRY, Operation } from "../encoding/operation.ts";
import type { KeyHit, Seq } from "../types.ts";

/** A memtable, as far as it is needed here. */
type OperationReader = { read(pointer: number, operation: Operation): void };

/**
 * Pointers of what has keys, in the order in which it came; both grow. `forgotten`: entries that are tombstones by now.
 */
export type KeyPointers = {
  alone: readonly number[];
  entries: readonly number[];
  forgotten: ReadonlySet<Seq> | undefined;
};

/** About a millisecond. */
export const INDEXED_AT_ONCE = 2048;

export class MemKeys {
  readonly #table: OperationReader;
  readonly #index = new Map<string, KeyHit>();
  readonly #operation = new Operation();
  #aloneThrough = 0;
  #entriesThrough = 0;

  constructor(table: OperationReader) {
    this.#table = table;
  }

  /** Of a key that occurs twice the first is found, as in the segments. */
  find(key: string, pointers: KeyPointers): KeyHit | undefined {
    if (key === "") return undefined;
    this.#aloneThrough = this.#add(pointers.alone, this.#aloneThrough, pointers);
    this.#entriesThrough = this.#add(pointers.entries, this.#entriesThrough, pointers);
    return (
      this.#index.get(key) ??
      this.#search(key, pointers.alone, this.#aloneThrough, pointers) ??
      this.#search(key, pointers.entries, this.#entriesThrough, pointers)
    );
  }

  /** The entry at `seq` is a tombstone. */
  forget(key: string, seq: Seq): void {
    if (this.#index.get(key)?.seq === seq) this.#index.delete(key);
  }

  #add(list: readonly number[], from: number, pointers: KeyPointers): number {
    const end = Math.min(list.length, from + INDEXED_AT_ONCE);
    for (let at = from; at < end; at++) {
      this.#table.read(list[at]!, this.#operation);
      const key = this.#operation.key();
      if (key === "" || this.#index.has(key)) continue;
      const hit = this.#hit(pointers);
      if (hit !== undefined) this.#index.set(key, hit);
    }
    return end;
  }

  #search(key: string, list: readonly number[], from: number, pointers: KeyPointers): KeyHit | undefined {
    for (let at = from; at < list.length; at++) {
      this.#table.read(list[at]!, this.#operation);
      const hit = this.#operation.isKey(key) ? this.#hit(pointers) : undefined;
      if (hit !== undefined) return hit;
    }
    return undefined;
  }

  #hit({ forgotten }: KeyPointers): KeyHit | undefined {
    const { kind, seq } = this.#operation;
    if (kind !== OP_ENTRY) return { seq, value: this.#operation.value() };
    return forgotten?.has(seq) === true ? undefined : { seq, value: null };
  }
}

/**
 * The highest counter of the keys that are `prefix` and a plain number; -1 when there is none. Keys of tombstones
 * count.
 */
export function highestCounter(table: OperationReader, prefix: string, { alone, entries }: KeyPointers): number {
  const operation = new Operation();
  let highest = -1;
  for (const list of [alone, entries]) {
    for (const pointer of list) {
      table.read(pointer, operation);
      const counter = operation.counterBehind(prefix);
      if (counter > highest) highest = counter;
    }
  }
  return highest;
}
