/**
 * Folded states of one shard by name, loaded when needed: at once, or in steps between which other work may run. Idle
 * states are dropped when the tables of a node exceed their budget of bytes, those loaded longest ago first, and can be
 * loaded again. States in use stay, beyond the budget too.
 *
 * Invariants
 * - There is one state per name, and one load of it: two states would give the same seq twice. A second request for a
 *   name joins the load under way.
 * - Nothing that a state is folded from changes during its load: a writer of the stream gets the state first, which
 *   ends the load.
 * - States are dropped between turns of the event loop, never within a call. So a caller may use a state until the end
 *   of the turn, and longer only while it is not idle.
 */
import { AppError } from "../../base/errors.ts";
import { atOnce, type Steps } from "../../base/steps.ts";
import type { EvictedTable, LoadBudget } from "./load-budget.ts";

/** The part of a table that commands use. */
export type States<Name, State> = {
  get(name: Name): State | undefined;
  steps(name: Name): Steps<State | undefined>;
  peek(name: Name): State | undefined;
};

/** Other states that are weighed when one is loaded. */
const WEIGHED_PER_LOAD = 2;

/** `bytes`: its estimated memory. `heldBytes`: what of it the budget counts, kept by the table. */
export type HeldState = { readonly bytes: number; heldBytes: number };

export class StateTable<Name, State extends HeldState> implements States<Name, State>, EvictedTable {
  readonly #load: (name: Name) => Steps<State | undefined>;
  readonly #isIdle: (state: State) => boolean;
  readonly #budget: LoadBudget;
  readonly #states = new Map<Name, State>();
  /** States that are weighed next. */
  #unweighed: Iterator<State> = this.#states.values();
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

  /** Loads the state at once if needed. Undefined if the name is not in the log. */
  get(name: Name): State | undefined {
    return this.#states.get(name) ?? atOnce(this.steps(name));
  }

  /** As `get`, in steps. Each load begins a step of its own, so that many loads are many steps. */
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

  /** The state if it is loaded. */
  peek(name: Name): State | undefined {
    return this.#states.get(name);
  }

  /** Drops all states and loads, in use or not: nobody may use them any longer. @returns the states */
  clear(): State[] {
    const gone = [...this.#states.values()];
    this.#states.clear();
    this.#loads.clear();
    for (const state of gone) this.#uncount(state);
    return gone;
  }

  /**
   * Another table has these names from now on, so this one loads nothing any more: two states would number the same seq
   * twice. @returns as `clear`
   */
  end(): State[] {
    this.#isEnded = true;
    return this.clear();
  }

  /** Drops one state, in use or not. */
  drop(name: Name): void {
    this.#loads.delete(name);
    const state = this.#states.get(name);
    if (state === undefined) return;
    this.#states.delete(name);
    this.#uncount(state);
  }

  /** The state may have grown: it is estimated again. */
  weigh(name: Name): void {
    const state = this.#states.get(name);
    if (state !== undefined) this.#weigh(state);
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
    this.#weigh(state);
    for (let more = 0; more < WEIGHED_PER_LOAD; more++) this.#weighNext();
    this.#budget.loaded(this);
  }

  /** States grow, so all are weighed again in turn. */
  #weighNext(): void {
    const { value, done } = this.#unweighed.next();
    if (done !== true) this.#weigh(value);
    else this.#unweighed = this.#states.values();
  }

  #weigh(state: State): void {
    const { bytes } = state;
    this.#budget.changed(bytes - state.heldBytes);
    state.heldBytes = bytes;
  }

  #uncount(state: State): void {
    this.#budget.changed(-state.heldBytes);
    state.heldBytes = 0;
  }

  /** Those in use are moved to the end. */
  evict(looks: number): number {
    let dropped = 0;
    for (const [name, state] of this.#states) {
      if (looks-- === 0 || !this.#budget.isExceeded) break;
      this.#states.delete(name);
      if (this.#isIdle(state)) {
        dropped++;
        this.#uncount(state);
      } else {
        this.#states.set(name, state);
        this.#weigh(state);
      }
    }
    return dropped;
  }
}
