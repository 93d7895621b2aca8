import { isIgnored } from "../src/cli/process-signals.ts";

/**
 * Interruptions: Ctrl-C, SIGTERM, or a reader of the output that ended. A program that started processes must end them
 * before it ends.
 */

/** Rejects with the cause of the interruption; never resolves. Call it once, before any process is started. */
export function interruption(): Promise<never> {
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      // Ignored by `nohup`: a handler would undo that.
      if (signal !== "SIGTERM" && isIgnored(signal)) continue;
      process.once(signal, () => reject(new Error(`ended by ${signal}`)));
    }
    for (const stream of [process.stdout, process.stderr]) {
      stream.on("error", () => reject(new Error("nobody reads the output any more")));
    }
  });
  // Callers that race against it get the rejection; it may also stay unhandled.
  interrupted.catch(() => {});
  return interrupted;
}
