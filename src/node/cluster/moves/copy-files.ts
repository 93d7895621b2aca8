/** Runs copy-worker.ts for one copy. */
import type { CopyReply, CopyRequest } from "./copy-worker.ts";

/** @throws Error with what the worker says */
export async function copyFiles(request: CopyRequest): Promise<{ through: number; hasData: boolean }> {
  const worker = new Worker(new URL("./copy-worker.ts", import.meta.url));
  try {
    const { promise, resolve, reject } = Promise.withResolvers<CopyReply>();
    worker.onmessage = (event: MessageEvent<CopyReply>) => resolve(event.data);
    worker.onerror = (event: ErrorEvent) => reject(new Error(event.message));
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's, not a window's
    worker.postMessage(request);
    const reply = await promise;
    if (reply.kind === "failed") throw new Error(reply.message);
    return reply;
  } finally {
    worker.terminate();
  }
}
