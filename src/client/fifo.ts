/** A queue whose `shift` does not move the other items. */
export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Puts `items`, in their order, before everything else. */
  pushFront(items: readonly T[]): void {
    this.#items.splice(0, this.#head, ...items);
    this.#head = 0;
  }

  shift(): T | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Keeps the items before the first one that `isEnd` accepts, and returns the rest. */
  cut(isEnd: (item: T) => boolean): T[] {
    const live = this.#items.slice(this.#head) as T[];
    const end = live.findIndex(isEnd);
    if (end === -1) return [];
    this.#items = live.slice(0, end);
    this.#head = 0;
    return live.slice(end);
  }
}
