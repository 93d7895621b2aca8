/**
 * Folded states by name, loaded at need: at once, or in steps between which anything else may happen. What is idle is dropped when more than `loadedMax` are loaded,
 * the longest loaded first, and can be loaded again; what is in use stays, however much it is.
 *
 * Invariants
 * - There is one state of a name, and one load of it: two states would number the same seq twice. Whoever asks for a name that is being loaded goes on with that load.
 * - Nothing that a state is folded from changes while it is loaded: whoever appends to a stream has got its state first, which ends the load.
 * - States are dropped between turns of the event loop, never inside a call: whoever has got a state may use it to the end of the turn, and longer only while it
 *   is not idle.
 */
import { atOnce, type Steps } from "../base/steps.ts";

const LOOKS_PER_TURN = 256;

export class StateTable<Name, State> {
  readonly #load: (name: Name) => Steps<State | undefined>;
  readonly #isIdle: (state: State) => boolean;
  readonly #loadedMax: number;
  readonly #states = new Map<Name, State>();
  readonly #loads = new Map<Name, Steps<State | undefined>>();
  #isEvicting = false;

  /** @param load must not ask this table for the same name */
  constructor(load: (name: Name) => Steps<State | undefined>, isIdle: (state: State) => boolean, loadedMax: number) {
    this.#load = load;
    this.#isIdle = isIdle;
    this.#loadedMax = loadedMax;
  }

  get size(): number {
    return this.#states.size;
  }

  /** Loads it at once when it is not loaded. Undefined when there is no such name in the log. */
  get(name: Name): State | undefined {
    return this.#states.get(name) ?? atOnce(this.steps(name));
  }

  /** As `get`, in steps. Each load begins one, so that loading many after each other is many steps. */
  *steps(name: Name): Steps<State | undefined> {
    if (!this.#states.has(name)) yield;
    for (;;) {
      const loaded = this.#states.get(name);
      if (loaded !== undefined) return loaded;
      const end = this.#loadOn(name);
      if (end.done === true) return end.value;
      yield;
    }
  }

  /** Only if it is loaded. */
  peek(name: Name): State | undefined {
    return this.#states.get(name);
  }

  /** Drops states and loads, in use or not. For names that nobody may go on with. @returns the states */
  forget(isGone: (state: State) => boolean, isNameGone: (name: Name) => boolean): State[] {
    const gone = [...this.#states].filter(([, state]) => isGone(state));
    for (const [name] of gone) this.#states.delete(name);
    for (const name of [...this.#loads.keys()]) if (isNameGone(name)) this.#loads.delete(name);
    return gone.map(([, state]) => state);
  }

  loaded(): Iterable<State> {
    return this.#states.values();
  }

  #loadOn(name: Name): IteratorResult<void, State | undefined> {
    let load = this.#loads.get(name);
    if (load === undefined) this.#loads.set(name, (load = this.#load(name)));
    let step: IteratorResult<void, State | undefined> | undefined;
    try {
      step = load.next();
    } finally {
      if (step?.done !== false) this.#loads.delete(name);
    }
    if (step.done === true && step.value !== undefined) this.#loaded(name, step.value);
    return step;
  }

  #loaded(name: Name, state: State): void {
    this.#states.set(name, state);
    if (this.#states.size > this.#loadedMax) this.#evictSoon();
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
