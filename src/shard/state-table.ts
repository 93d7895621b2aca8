/** Folded states by name, loaded at need, bounded: what is not in use is dropped and can be loaded again. */
export class StateTable<Name, State> {
  readonly #load: (name: Name) => State | undefined;
  readonly #isIdle: (state: State) => boolean;
  readonly #loadedMax: number;
  readonly #states = new Map<Name, State>();

  constructor(load: (name: Name) => State | undefined, isIdle: (state: State) => boolean, loadedMax: number) {
    this.#load = load;
    this.#isIdle = isIdle;
    this.#loadedMax = loadedMax;
  }

  /** Undefined when there is no such name in the log. */
  get(name: Name): State | undefined {
    const loaded = this.#states.get(name);
    if (loaded !== undefined) return loaded;
    const state = this.#load(name);
    if (state === undefined) return undefined;
    if (this.#states.size >= this.#loadedMax) this.#evict();
    this.#states.set(name, state);
    return state;
  }

  /** Only if it is loaded. */
  peek(name: Name): State | undefined {
    return this.#states.get(name);
  }

  loaded(): Iterable<State> {
    return this.#states.values();
  }

  /** Looks at the oldest few: idle ones go, the others get another turn. */
  #evict(): void {
    let looks = 8;
    for (const [name, state] of this.#states) {
      if (looks-- === 0) return;
      this.#states.delete(name);
      if (!this.#isIdle(state)) this.#states.set(name, state);
    }
  }
}
