/** Time, as an argument: servers pass the system's, tests pass their own. */
export type Clock = {
  /** Unix milliseconds; may jump. For `sentAt` and display, never for ordering. */
  now(): number;
  /** Milliseconds that only rise, for measuring waits. */
  monotonicMs(): number;
  /** Calls `run` once after `ms`; the returned function cancels. */
  after(ms: number, run: () => void): () => void;
};

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};
