/**
 * Writes output before the call returns. The program ends with `process.exit`, which does not wait for streams: a slow
 * pipe would get only the first 64 KiB.
 */
import { writeSync } from "node:fs";
import { errnoOf } from "./startup-errors.ts";

const WAIT_MS = 1;

/** Waits for a slow reader. Returns early when nobody reads any more. */
export function writeWhole(fd: number, text: string): void {
  const bytes = Buffer.from(text, "utf8");
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "EPIPE") return;
      if (errno !== "EAGAIN") throw error;
      Bun.sleepSync(WAIT_MS);
    }
  }
}
