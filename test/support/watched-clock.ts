/** The machine's clock, which tells what is put off: a test sees what would happen later without waiting for it. */
import { systemClock, type Clock } from "../../src/base/clock.ts";

export class WatchedClock implements Clock {
  readonly #putOff = new Map<() => void, number>();

  now(): number {
    return systemClock.now();
  }

  monotonicMs(): number {
    return systemClock.monotonicMs();
  }

  after(ms: number, run: () => void): () => void {
    const once = (): void => {
      cancel();
      run();
    };
    const cancelTimer = systemClock.after(ms, once);
    const cancel = (): void => {
      cancelTimer();
      this.#putOff.delete(once);
    };
    this.#putOff.set(once, ms);
    return cancel;
  }

  /** For how long each thing was put off that has neither happened nor been cancelled. Milliseconds, the shortest first. */
  putOffMs(): number[] {
    return [...this.#putOff.values()].toSorted((a, b) => a - b);
  }

  /** Lets happen now what was put off for so long. */
  fallDue(ms: number): void {
    for (const [once, putOffMs] of [...this.#putOff]) if (putOffMs === ms) once();
  }
}
