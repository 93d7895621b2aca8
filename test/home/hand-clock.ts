/** A clock that a test moves by hand. */
import { UNIX_MS_MAX, type Clock } from "../../src/base/clock.ts";

export class HandClock implements Clock {
  nowMs = 1_763_740_800_000;
  /** How far the wall clock is from where it would be, had nobody set it: the monotonic one knows nothing of that. */
  wallAheadMs = 0;
  readonly #due: { atMs: number; run: () => void }[] = [];

  now(): number {
    return Math.min(UNIX_MS_MAX, Math.max(0, this.nowMs + this.wallAheadMs));
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  after(ms: number, run: () => void): () => void {
    const entry = { atMs: this.nowMs + ms, run };
    this.#due.push(entry);
    return () => {
      const at = this.#due.indexOf(entry);
      if (at >= 0) this.#due.splice(at, 1);
    };
  }

  advance(ms: number): void {
    this.nowMs += ms;
    for (const entry of this.#due.filter(({ atMs }) => atMs <= this.nowMs)) {
      this.#due.splice(this.#due.indexOf(entry), 1);
      entry.run();
    }
  }
}
