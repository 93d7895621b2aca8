/** Time, passed as an argument. It is a part of the server's clock, so that one test clock fits both. */
export type ClientClock = {
  /** Milliseconds that only rise. */
  monotonicMs(): number;
  /** Calls `run` once after `ms`; the returned function cancels. */
  after(ms: number, run: () => void): () => void;
};

export const browserClock: ClientClock = {
  monotonicMs: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};
