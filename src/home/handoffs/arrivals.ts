/**
 * Handoffs and posts for users or groups that are not in memory. The state is loaded in steps, since it may be large.
 * Arrivals during the load wait behind the first one, so that they keep their order.
 */
import type { StepTurns } from "../../base/steps.ts";
import type { States } from "../state/state-table.ts";

/** `state` is undefined if there is none of that name. */
export type Arrival<State> = { arrived(state: State | undefined): void; failed(error: unknown): void };

export class Arrivals<Name, State> {
  readonly #states: States<Name, State>;
  readonly #turns: StepTurns;
  readonly #waiting = new Map<Name, Arrival<State>[]>();
  readonly #running = new Set<Promise<void>>();

  constructor(states: States<Name, State>, turns: StepTurns) {
    this.#states = states;
    this.#turns = turns;
  }

  /** Whether an arrival waits for the state: then a new one has to wait behind it. */
  isAwaited(name: Name): boolean {
    return this.#waiting.size > 0 && this.#waiting.has(name);
  }

  add(name: Name, arrival: Arrival<State>): void {
    const waiting = this.#waiting.get(name);
    if (waiting !== undefined) return void waiting.push(arrival);
    this.#waiting.set(name, [arrival]);
    const running = this.#load(name).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Resolves when nothing waits. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async #load(name: Name): Promise<void> {
    let loaded: { state: State | undefined } | { error: unknown };
    try {
      await this.#turns.run(this.#states.steps(name));
      // In this turn the state cannot be dropped from memory. If it was dropped before, `get` loads it at once.
      loaded = { state: this.#states.get(name) };
    } catch (error) {
      loaded = { error };
    }
    const waiting = this.#waiting.get(name) ?? [];
    this.#waiting.delete(name);
    for (const arrival of waiting) {
      if ("error" in loaded) arrival.failed(loaded.error);
      else arrive(arrival, loaded.state);
    }
  }
}

/** An arrival that throws does not keep the next ones from their turn. */
function arrive<State>(arrival: Arrival<State>, state: State | undefined): void {
  try {
    arrival.arrived(state);
  } catch (error) {
    arrival.failed(error);
  }
}
