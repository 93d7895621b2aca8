/** A worker with an idle event loop: shows the gaps that the machine causes by itself. */
import { LoopProbe } from "./loop-probe.ts";
import { answerWith, type Asked } from "./probe-messages.ts";

declare const self: Worker;

const probe = new LoopProbe();

self.onmessage = ({ data }: MessageEvent<Asked>) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's, not a window's
  self.postMessage(answerWith(probe, data));
};
