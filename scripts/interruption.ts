import { isIgnored } from "../src/cli/process-signals.ts";

/** Ctrl-C, an end from outside, a reader of our output that went away: whoever started processes ends them before it goes itself. */

/** Rejects with what interrupted; never resolves. Call it once, before anything is started. */
export function interruption(): Promise<never> {
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      // As by `nohup`: a handler would undo it.
      if (signal !== "SIGTERM" && isIgnored(signal)) continue;
      process.once(signal, () => reject(new Error(`ended by ${signal}`)));
    }
    for (const stream of [process.stdout, process.stderr]) {
      stream.on("error", () => reject(new Error("nobody reads the output any more")));
    }
  });
  // Whoever races against it hears of it; nobody has to.
  interrupted.catch(() => {});
  return interrupted;
}
