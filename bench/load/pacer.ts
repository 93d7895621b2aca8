/**
 * A timer with steps of less than a millisecond, which the runtime's own timers do not have: a thread sleeps for each
 * step and then wakes this one. A step that comes late is not repeated.
 */
export type PacerOrder = { stop: Int32Array; stepMs: number };

const STEP_MS_MIN = 0.25;

export class Pacer {
  readonly #thread = new Worker(new URL("./pacer-thread.ts", import.meta.url));
  readonly #stop = new Int32Array(new SharedArrayBuffer(4));

  /** @param stepMs a quarter of a millisecond at least */
  constructor(stepMs: number, onStep: () => void) {
    this.#thread.onmessage = onStep;
    const order: PacerOrder = { stop: this.#stop, stepMs: Math.max(STEP_MS_MIN, stepMs) };
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's, not a window's
    this.#thread.postMessage(order);
  }

  end(): void {
    Atomics.store(this.#stop, 0, 1);
    Atomics.notify(this.#stop, 0);
    this.#thread.onmessage = null;
    this.#thread.terminate();
  }
}
