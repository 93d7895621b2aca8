/**
 * The first signal asks for a drain, a second one ends the process at once.
 * One Ctrl-C can arrive several times within milliseconds: from the terminal, from npm, from the launcher. So what follows the
 * first within a second counts as the first.
 * SIGHUP and SIGINT stay ignored where the process was started so, as by `nohup` or in the background of a script: a handler would undo it.
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

/** From now on signals do not end the process by themselves. */
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
