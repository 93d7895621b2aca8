/** Users or groups of all shards of a node, by name. */
import type { Steps } from "../base/steps.ts";
import type { States } from "../home/state/state-table.ts";

export class AllStates<Name, State> implements States<Name, State> {
  readonly #tableOf: (name: Name) => States<Name, State>;

  constructor(tableOf: (name: Name) => States<Name, State>) {
    this.#tableOf = tableOf;
  }

  get(name: Name): State | undefined {
    return this.#tableOf(name).get(name);
  }

  steps(name: Name): Steps<State | undefined> {
    return this.#tableOf(name).steps(name);
  }

  peek(name: Name): State | undefined {
    return this.#tableOf(name).peek(name);
  }
}
