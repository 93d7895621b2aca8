/** Time, passed as an argument: servers pass the system's, tests pass their own. */

/** The year 2527, the latest time that an entry can hold (src/domain/entries.ts). */
export const UNIX_MS_MAX = 2 ** 44 - 1;

export type Clock = {
  /**
   * Unix milliseconds, whole, from 0 to `UNIX_MS_MAX`. It may jump ahead and back, by years. Use it for times that
   * people see and for retention, never for an order or a duration. scripts/testing/clock-rules.ts lists who may call
   * it.
   */
  now(): number;
  /** Milliseconds that only rise, to measure durations. */
  monotonicMs(): number;
  /** Calls `run` once after `ms`; the returned function cancels. */
  after(ms: number, run: () => void): () => void;
};

export const systemClock: Clock = {
  now: () => Math.min(UNIX_MS_MAX, Math.max(0, Date.now())),
  monotonicMs: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};
