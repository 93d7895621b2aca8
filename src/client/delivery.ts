/**
 * Handles frames one after another, in their order. If a handler returns no promise, the next frame is handled in the
 * same call, without a promise.
 *
 * `handle` must not throw or reject. It must deal with a failing application itself.
 */
import type { ServerFrame } from "../protocol/frames.ts";
import { Fifo } from "./fifo.ts";
import type { Entry } from "./positions.ts";

/** A paged entry, or the end of a page up to `after`. `isLast`: the server has nothing after it. */
export type PagedItem =
  { t: "paged"; stream: string; frame: Entry } | { t: "pageEnd"; stream: string; after: number; isLast: boolean };
export type Item = ServerFrame | PagedItem;

export class Delivery {
  readonly #handle: (item: Item) => void | Promise<void>;
  readonly #onIdle: () => void;
  readonly #queue = new Fifo<Item>();
  #isBusy = false;

  /** `onIdle` runs each time all frames have been handled. */
  constructor(handle: (item: Item) => void | Promise<void>, onIdle: () => void) {
    this.#handle = handle;
    this.#onIdle = onIdle;
  }

  get isIdle(): boolean {
    return !this.#isBusy && this.#queue.length === 0;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  push(item: Item): void {
    if (this.#isBusy || this.#queue.length > 0) this.#queue.push(item);
    else this.#run(item);
  }

  /** Inserts held frames that are due now before all waiting ones. Only from inside `handle`. */
  pushFront(items: readonly Item[]): void {
    if (items.length > 0) this.#queue.pushFront(items);
  }

  /** Drops everything from the first item on that `isEnd` accepts. */
  cut(isEnd: (item: Item) => boolean): void {
    this.#queue.cut(isEnd);
  }

  #run(first: Item): void {
    for (let item: Item | undefined = first; item !== undefined; item = this.#queue.shift()) {
      this.#isBusy = true;
      const unfinished = this.#handle(item);
      if (unfinished !== undefined) {
        void unfinished.then(() => this.#resume());
        return;
      }
      this.#isBusy = false;
    }
    this.#onIdle();
  }

  #resume(): void {
    this.#isBusy = false;
    const next = this.#queue.shift();
    if (next === undefined) this.#onIdle();
    else this.#run(next);
  }
}
