/** The thread of a pacer. */
import type { PacerOrder } from "./pacer.ts";

declare const self: Worker;

self.onmessage = ({ data: { stop, stepMs } }: MessageEvent<PacerOrder>) => {
  let due = performance.now();
  while (Atomics.load(stop, 0) === 0) {
    due += stepMs;
    const wait = due - performance.now();
    if (wait > 0) Atomics.wait(stop, 0, 0, wait);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's, not a window's
    self.postMessage(0);
  }
};
