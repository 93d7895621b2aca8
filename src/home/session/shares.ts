/** Counts the items of each key, and finds the key with the most. Constant time, since counts change by one. */
export class Shares<Key, Item> {
  /** Oldest first. */
  readonly #items = new Map<Key, Set<Item>>();
  /** The keys with so many items, by that number; the key that reached the number first comes first. */
  readonly #holders: (Set<Key> | undefined)[] = [];

  add(key: Key, item: Item): void {
    const items = this.#items.get(key) ?? new Set();
    this.#items.set(key, items.add(item));
    this.#move(key, items.size - 1, items.size);
  }

  remove(key: Key, item: Item): void {
    const items = this.#items.get(key);
    if (items?.delete(item) !== true) return;
    if (items.size === 0) this.#items.delete(key);
    this.#move(key, items.size + 1, items.size);
  }

  #move(key: Key, from: number, to: number): void {
    this.#holders[from]?.delete(key);
    if (to > 0) (this.#holders[to] ??= new Set()).add(key);
    while (this.#holders.length > 0 && !this.#holders.at(-1)?.size) this.#holders.pop();
  }

  countOf(key: Key): number {
    return this.#items.get(key)?.size ?? 0;
  }

  /** The oldest item of the key with the most, if it has more than `count`. */
  oldestOfMost(count: number): Item | undefined {
    if (this.#holders.length - 1 <= count) return undefined;
    for (const key of this.#holders.at(-1) ?? []) for (const item of this.#items.get(key)!) return item;
    return undefined;
  }
}
