/**
 * What a command prints is written before the call returns. The program ends with `process.exit`, which does not wait
 * for streams: of an answer to a pipe that reads slowly all but the first 64 KiB would be lost.
 */
import { writeSync } from "node:fs";
import { errnoOf } from "./startup-errors.ts";

const WAIT_MS = 1;

/** Waits for whoever reads. Returns early when nobody reads any more. */
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
