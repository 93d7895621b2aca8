/**
 * A bounded queue in which clients take turns. One client can neither fill it nor make others wait behind all its
 * requests. A client alone may use all of it, since many people may share one address.
 *
 * Invariant: a client that would still have fewer waiters than another is never refused. Instead the newest waiter of
 * the client with the most is removed.
 */
export class FairTurns<Waiter> {
  readonly #waitersMax: number;
  /** In the order of their turns; clients without a waiter are not in it. */
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

  /** @returns the waiter that is refused: `waiter` itself or another; undefined if there is room for all */
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

  /** Removes and returns the next waiter. */
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
