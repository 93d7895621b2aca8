/**
 * The first signal starts a drain, a second one ends the process at once. One Ctrl-C can arrive several times within
 * milliseconds: from the terminal, from npm, from the launcher. So signals within a second of the first are ignored.
 * SIGHUP and SIGINT stay ignored if they were ignored at the start, as by `nohup` or in the background of a script. A
 * handler would undo that.
 */
import { constants } from "node:os";
import type { Clock } from "../base/clock.ts";

export type StopSignal = "SIGTERM" | "SIGINT" | "SIGHUP";

export type Signals = {
  on: (signal: StopSignal, handler: () => void) => void;
  /** Whether the process was started with it ignored. */
  isIgnored: (signal: StopSignal) => boolean;
  /** Ends the process. */
  exit: (status: number) => void;
  clock: Clock;
};

const STOP_SIGNALS: readonly StopSignal[] = ["SIGTERM", "SIGINT", "SIGHUP"];
const SAME_SIGNAL_MS = 1000;

/** Handles the signals, which then no longer end the process by themselves. */
export function firstStopSignal({ on, isIgnored, exit, clock }: Signals): Promise<StopSignal> {
  return new Promise((resolve) => {
    let firstAtMs: number | undefined;
    for (const signal of STOP_SIGNALS) {
      // There must be a way to stop it.
      if (signal !== "SIGTERM" && isIgnored(signal)) continue;
      on(signal, () => {
        firstAtMs ??= clock.monotonicMs();
        if (clock.monotonicMs() - firstAtMs > SAME_SIGNAL_MS) exit(128 + constants.signals[signal]);
        resolve(signal);
      });
    }
  });
}
