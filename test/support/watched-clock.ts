/** The machine's clock, which tells what is put off: a test sees what would happen later without waiting for it. */
import { systemClock, type Clock } from "../../src/base/clock.ts";

export class WatchedClock implements Clock {
  readonly #putOffMs = new Set<{ ms: number }>();

  now(): number {
    return systemClock.now();
  }

  monotonicMs(): number {
    return systemClock.monotonicMs();
  }

  after(ms: number, run: () => void): () => void {
    const putOff = { ms };
    this.#putOffMs.add(putOff);
    const cancel = systemClock.after(ms, () => {
      this.#putOffMs.delete(putOff);
      run();
    });
    return () => {
      this.#putOffMs.delete(putOff);
      cancel();
    };
  }

  /** For how long each thing was put off that has neither happened nor been cancelled. Milliseconds, the shortest first. */
  putOffMs(): number[] {
    return [...this.#putOffMs].map(({ ms }) => ms).toSorted((a, b) => a - b);
  }
}
