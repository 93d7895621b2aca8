/**
 * A bounded queue in which clients take turns, so that one of them can neither fill it nor make others wait behind all it asked for. A client alone has
 * all of it: behind one address there may be many people.
 *
 * Invariant: a client that would still have fewer waiting than another is never refused; the newest of who has the most goes instead.
 */
export class FairTurns<Waiter> {
  readonly #waitersMax: number;
  /** In the order of their turns; none without a waiter. */
  readonly #waiting = new Map<string, Waiter[]>();
  #size = 0;

  constructor(waitersMax: number) {
    this.#waitersMax = waitersMax;
  }

  get size(): number {
    return this.#size;
  }

  get clients(): number {
    return this.#waiting.size;
  }

  /** @returns who has no place (any more): `waiter` itself, or another; undefined when there is room for all */
  add(client: string, waiter: Waiter): Waiter | undefined {
    const own = this.#waiting.get(client);
    let refused: Waiter | undefined;
    if (this.#size >= this.#waitersMax) {
      const most = this.#mostWaiting();
      if (most === undefined || most.length <= (own?.length ?? 0) + 1) return waiter;
      refused = most.pop();
      this.#size--;
    }
    if (own === undefined) this.#waiting.set(client, [waiter]);
    else own.push(waiter);
    this.#size++;
    return refused;
  }

  /** The one whose turn it is, removed. */
  next(): Waiter | undefined {
    for (const [client, waiters] of this.#waiting) {
      this.#waiting.delete(client);
      const waiter = waiters.shift();
      if (waiters.length > 0) this.#waiting.set(client, waiters);
      this.#size--;
      return waiter;
    }
    return undefined;
  }

  #mostWaiting(): Waiter[] | undefined {
    let most: Waiter[] | undefined;
    for (const waiters of this.#waiting.values())
      if (most === undefined || waiters.length > most.length) most = waiters;
    return most;
  }
}
