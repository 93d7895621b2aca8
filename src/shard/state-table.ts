/**
 * Folded states by name, loaded at need. What is idle is dropped when more than `loadedMax` are loaded, the longest loaded first, and can be loaded
 * again; what is in use stays, however much it is.
 *
 * States are dropped between turns of the event loop, never inside a call: whoever has got a state may use it to the end of the turn, and longer only
 * while it is not idle. Two states of one name at a time would number the same seq twice.
 */
const LOOKS_PER_TURN = 256;

export class StateTable<Name, State> {
  readonly #load: (name: Name) => State | undefined;
  readonly #isIdle: (state: State) => boolean;
  readonly #loadedMax: number;
  readonly #states = new Map<Name, State>();
  #isEvicting = false;

  constructor(load: (name: Name) => State | undefined, isIdle: (state: State) => boolean, loadedMax: number) {
    this.#load = load;
    this.#isIdle = isIdle;
    this.#loadedMax = loadedMax;
  }

  get size(): number {
    return this.#states.size;
  }

  /** Undefined when there is no such name in the log. */
  get(name: Name): State | undefined {
    const loaded = this.#states.get(name);
    if (loaded !== undefined) return loaded;
    const state = this.#load(name);
    if (state === undefined) return undefined;
    this.#states.set(name, state);
    if (this.#states.size > this.#loadedMax) this.#evictSoon();
    return state;
  }

  /** Only if it is loaded. */
  peek(name: Name): State | undefined {
    return this.#states.get(name);
  }

  loaded(): Iterable<State> {
    return this.#states.values();
  }

  #evictSoon(): void {
    if (this.#isEvicting) return;
    this.#isEvicting = true;
    setImmediate(() => {
      this.#isEvicting = false;
      this.#evict();
    });
  }

  /** A bounded look at the longest loaded; those in use get another turn behind the others. */
  #evict(): void {
    let looks = 0;
    for (const [name, state] of this.#states) {
      if (this.#states.size <= this.#loadedMax || looks++ === LOOKS_PER_TURN) return;
      this.#states.delete(name);
      if (!this.#isIdle(state)) this.#states.set(name, state);
    }
  }
}
