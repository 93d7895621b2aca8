/** A clock that a test moves by hand. */
import type { Clock } from "../../src/base/clock.ts";

export class HandClock implements Clock {
  nowMs = 1_763_740_800_000;
  readonly #due: { atMs: number; run: () => void }[] = [];

  now(): number {
    return this.nowMs;
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  after(ms: number, run: () => void): () => void {
    const entry = { atMs: this.nowMs + ms, run };
    this.#due.push(entry);
    return () => void this.#due.splice(this.#due.indexOf(entry), 1);
  }

  advance(ms: number): void {
    this.nowMs += ms;
    for (const entry of this.#due.filter(({ atMs }) => atMs <= this.nowMs)) {
      this.#due.splice(this.#due.indexOf(entry), 1);
      entry.run();
    }
  }
}
