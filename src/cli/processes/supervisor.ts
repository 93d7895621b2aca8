/**
 * The processes of one server: started together, started again one by one when they end, stopped together.
 *
 * A process that ends too often ends them all: something is wrong that a start does not mend. A process stops when its
 * standard input ends, so none outlives this one, however this one ends.
 */
import type { Clock } from "../../base/clock.ts";
import { FatalError } from "../fatal-error.ts";

/** A process that runs. */
export type Running = {
  /** Resolves when it serves; rejects when it ends before. */
  readonly ready: Promise<void>;
  /** How it ended, in words. */
  readonly ended: Promise<string>;
  /** Asks it to drain. */
  stop(): void;
  kill(): void;
};

export type SupervisorParts = {
  readonly names: readonly string[];
  spawn(name: string): Running;
  readonly clock: Clock;
  /** How long a process may take to drain. */
  readonly patienceMs: number;
  say(line: string): void;
};

const WAIT_MS = 250;
const WAIT_MS_MAX = 10_000;
const ENDS_MAX = 5;
const ENDS_MS = 60_000;

export class Supervisor {
  readonly #parts: SupervisorParts;
  readonly #running = new Map<string, Running>();
  readonly #ends = new Map<string, number[]>();
  readonly #failed = Promise.withResolvers<never>();
  #isStopping = false;

  constructor(parts: SupervisorParts) {
    this.#parts = parts;
    this.#failed.promise.catch(() => {});
  }

  /** Rejects when a process ends too often. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Resolves when all serve. @throws what `ready` of one rejects with */
  async start(): Promise<void> {
    await Promise.all(this.#parts.names.map((name) => this.#begin(name).ready));
    for (const name of this.#parts.names) this.#watch(name);
  }

  /** All drain at once; who takes too long is killed. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    const { clock, patienceMs } = this.#parts;
    await Promise.all(
      [...this.#running.values()].map(async (one) => {
        one.stop();
        const cancel = clock.after(patienceMs, () => one.kill());
        await one.ended;
        cancel();
      }),
    );
  }

  #begin(name: string): Running {
    const one = this.#parts.spawn(name);
    // Its end says the same.
    one.ready.catch(() => {});
    this.#running.set(name, one);
    return one;
  }

  #watch(name: string): void {
    void this.#running.get(name)!.ended.then((how) => {
      this.#running.delete(name);
      if (!this.#isStopping) this.#again(name, how);
    });
  }

  #again(name: string, how: string): void {
    const { clock, say } = this.#parts;
    const now = clock.monotonicMs();
    const ends = (this.#ends.get(name) ?? []).filter((at) => now - at < ENDS_MS);
    this.#ends.set(name, [...ends, now]);
    if (ends.length >= ENDS_MAX)
      return this.#failed.reject(
        new FatalError("failed", `process ${name} ended ${ends.length + 1} times within a minute, at last ${how}`),
      );
    say(`process ${name} ended ${how}, and is started again`);
    clock.after(Math.min(WAIT_MS_MAX, WAIT_MS * 2 ** ends.length), () => {
      if (this.#isStopping) return;
      this.#begin(name);
      this.#watch(name);
    });
  }
}
