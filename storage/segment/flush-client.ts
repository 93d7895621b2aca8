/**
 * The event loop's end of the flush worker: hands jobs over, keeps who waits for what.
 *
 * Invariants: each flush settles once; after the worker has died every flush, waiting or new, is rejected and nothing is started again
 * (what it was doing is told by the files when they are opened next).
 */
import { FlushError } from "./errors.ts";
import type { FlushReply, FlushRequest, WorkerOptions } from "./flush-protocol.ts";
import type { FlushJob } from "./types.ts";

type Waiting = { resolve(unsealed: number[]): void; reject(error: FlushError): void };

export class FlushClient {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #dead: FlushError | undefined;

  constructor(worker: Worker, options: WorkerOptions) {
    this.#worker = worker;
    worker.onmessage = (event: MessageEvent<FlushReply>) => this.#settle(event.data);
    worker.onerror = (event: ErrorEvent) => this.#die(event.message);
    worker.addEventListener("close", () => this.#die("it ended"));
    this.#post({ kind: "open", options });
  }

  /**
   * Resolves with the segments whose readers should let go. Takes the job's buffers over.
   * @throws FlushError; when it has a `job`, that is this job with its buffers back, to be flushed again.
   */
  flush(job: FlushJob): Promise<number[]> {
    return this.#ask((id) => {
      this.#post({ kind: "flush", id, job }, [...new Set([job.image.buffer, job.checkpoint.buffer])]);
    });
  }

  /** Waits for what was handed over, then ends the worker. */
  async close(): Promise<void> {
    if (this.#dead !== undefined) return;
    await this.#ask((id) => this.#post({ kind: "close", id })).catch(() => undefined);
    this.#dead ??= new FlushError("the segment store is closed", "closed");
    this.#worker.terminate();
  }

  #ask(post: (id: number) => void): Promise<number[]> {
    if (this.#dead !== undefined) return Promise.reject(this.#dead);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      post(id);
    });
  }

  #post(request: FlushRequest, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(request, transfer);
  }

  #settle(reply: FlushReply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (waiting === undefined) return;
    if (reply.kind === "failed") waiting.reject(new FlushError(reply.message, reply.code, reply.job));
    else waiting.resolve(reply.kind === "done" ? reply.unsealed : []);
  }

  #die(why: string): void {
    if (this.#dead !== undefined) return;
    this.#dead = new FlushError(`the flush worker is gone: ${why}`, "worker_gone");
    for (const { reject } of this.#waiting.values()) reject(this.#dead);
    this.#waiting.clear();
  }
}
