/** The signals of this process, as `firstStopSignal` wants them. */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { constants } from "node:os";
import { systemClock } from "../base/clock.ts";
import type { Signals } from "./stop-signals.ts";

const LIBC = process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6";
/** Larger than any `struct sigaction`. On Linux and macOS the struct begins with the handler. */
const SIGACTION_BYTES = 256;
const SIG_IGN = 1n;

export const processSignals: Signals = {
  on: (signal, handler) => void process.on(signal, handler),
  isIgnored,
  exit: (status) => process.exit(status),
  clock: systemClock,
};

/** Whether the process was started with this signal ignored. Ask before a handler is set. */
export function isIgnored(signal: NodeJS.Signals): boolean {
  const action = Buffer.alloc(SIGACTION_BYTES);
  const library = dlopen(LIBC, {
    sigaction: { args: [FFIType.i32, FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  });
  try {
    const isKnown = library.symbols.sigaction(constants.signals[signal], null, ptr(action)) === 0;
    return isKnown && action.readBigUInt64LE() === SIG_IGN;
  } finally {
    library.close();
  }
}
