/** The machine's clock, but what is tried again every second is tried again every 50 ms: tests of retries need not sit them out. */
import { systemClock, type Clock } from "../../src/base/clock.ts";

const RETRY_MS_MAX = 1000;

export const hurriedClock: Clock = {
  ...systemClock,
  after: (ms, run) => systemClock.after(ms <= RETRY_MS_MAX ? ms / 20 : ms, run),
};
