/**
 * Folded states of one shard by name, loaded at need: at once, or in steps between which anything else may happen. What is idle is dropped when the tables of a node
 * hold more than their budget, the longest loaded first, and can be loaded again; what is in use stays, however much it is.
 *
 * Invariants
 * - There is one state of a name, and one load of it: two states would number the same seq twice. Whoever asks for a name that is being loaded goes on with that load.
 * - Nothing that a state is folded from changes while it is loaded: whoever appends to a stream has got its state first, which ends the load.
 * - States are dropped between turns of the event loop, never inside a call: whoever has got a state may use it to the end of the turn, and longer only while it
 *   is not idle.
 */
import { AppError } from "../../base/errors.ts";
import { atOnce, type Steps } from "../../base/steps.ts";
import type { EvictedTable, LoadBudget } from "./load-budget.ts";

/** What commands do with a table. */
export type States<Name, State> = {
  get(name: Name): State | undefined;
  steps(name: Name): Steps<State | undefined>;
  peek(name: Name): State | undefined;
};

export class StateTable<Name, State> implements States<Name, State>, EvictedTable {
  readonly #load: (name: Name) => Steps<State | undefined>;
  readonly #isIdle: (state: State) => boolean;
  readonly #budget: LoadBudget;
  readonly #states = new Map<Name, State>();
  #isEnded = false;
  readonly #loads = new Map<Name, Steps<State | undefined>>();

  /** @param load must not ask this table for the same name */
  constructor(load: (name: Name) => Steps<State | undefined>, isIdle: (state: State) => boolean, budget: LoadBudget) {
    this.#load = load;
    this.#isIdle = isIdle;
    this.#budget = budget;
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
      yield end.value;
    }
  }

  /** Only if it is loaded. */
  peek(name: Name): State | undefined {
    return this.#states.get(name);
  }

  /** Drops all states and loads, in use or not: nobody may go on with them. @returns the states */
  clear(): State[] {
    const gone = [...this.#states.values()];
    this.#states.clear();
    this.#loads.clear();
    this.#budget.dropped(gone.length);
    return gone;
  }

  /** Another table has these names from now on, so this one loads nothing any more: two states would number the same seq twice. @returns as `clear` */
  end(): State[] {
    this.#isEnded = true;
    return this.clear();
  }

  /** Drops one state, in use or not. */
  drop(name: Name): void {
    this.#loads.delete(name);
    if (this.#states.delete(name)) this.#budget.dropped(1);
  }

  loaded(): Iterable<State> {
    return this.#states.values();
  }

  #loadOn(name: Name): IteratorResult<void | Promise<unknown>, State | undefined> {
    if (this.#isEnded) throw new AppError("unavailable", "the log is being recovered; try again");
    let load = this.#loads.get(name);
    if (load === undefined) this.#loads.set(name, (load = this.#load(name)));
    let step: IteratorResult<void | Promise<unknown>, State | undefined> | undefined;
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
    this.#budget.loaded(this);
  }

  /** Looks at the longest loaded; those in use get another look behind the others. @returns how many were dropped */
  evict(looks: number): number {
    let dropped = 0;
    for (const [name, state] of this.#states) {
      if (looks-- === 0) break;
      this.#states.delete(name);
      if (this.#isIdle(state)) dropped++;
      else this.#states.set(name, state);
    }
    return dropped;
  }
}
