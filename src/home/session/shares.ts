/** Counts the items of each key, and finds the key with the most. Constant time, since counts change by one. */
export class Shares<Key, Item extends object | string> {
  /** Oldest first. Most keys have one item, which takes no set. */
  readonly #items = new Map<Key, Item | Set<Item>>();
  /** The keys with so many items, by that number; the key that reached the number first comes first. */
  readonly #holders: (Set<Key> | undefined)[] = [];

  add(key: Key, item: Item): void {
    const held = this.#items.get(key);
    if (held === undefined) this.#items.set(key, item);
    else if (held instanceof Set) held.add(item);
    else this.#items.set(key, new Set([held, item]));
    const count = this.countOf(key);
    this.#move(key, count - 1, count);
  }

  remove(key: Key, item: Item): void {
    const held = this.#items.get(key);
    const isHeld = held instanceof Set ? held.delete(item) : held === item;
    if (!isHeld) return;
    if (!(held instanceof Set) || held.size === 0) this.#items.delete(key);
    const count = this.countOf(key);
    this.#move(key, count + 1, count);
  }

  #move(key: Key, from: number, to: number): void {
    this.#holders[from]?.delete(key);
    if (to > 0) (this.#holders[to] ??= new Set()).add(key);
    while (this.#holders.length > 0 && !this.#holders.at(-1)?.size) this.#holders.pop();
  }

  countOf(key: Key): number {
    const held = this.#items.get(key);
    if (held === undefined) return 0;
    return held instanceof Set ? held.size : 1;
  }

  /** The oldest item of the key with the most, if it has more than `count`. */
  oldestOfMost(count: number): Item | undefined {
    if (this.#holders.length - 1 <= count) return undefined;
    for (const key of this.#holders.at(-1) ?? []) return this.#oldestOf(key);
    return undefined;
  }

  #oldestOf(key: Key): Item | undefined {
    const held = this.#items.get(key);
    if (!(held instanceof Set)) return held;
    for (const item of held) return item;
    return undefined;
  }
}
