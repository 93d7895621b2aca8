/**
 * The machine's clock, but what is to be tried again in a second or two is tried again twenty times as soon: tests of retries need not sit
 * them out. Timeouts stay as they are.
 */
import { systemClock, type Clock } from "../../src/base/clock.ts";

const RETRY_MS_MAX = 1000;
const HURRY = 20;

export const hurriedClock: Clock = {
  ...systemClock,
  monotonicMs: () => systemClock.monotonicMs() * HURRY,
  after: (ms, run) => systemClock.after(ms <= RETRY_MS_MAX ? ms / HURRY : ms, run),
};
