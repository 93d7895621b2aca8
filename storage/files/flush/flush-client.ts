/**
 * The event loop's end of the flush worker: hands jobs over, and keeps the promises that wait for them.
 *
 * Invariants: each request ends once. When the worker dies, all that waits is rejected, and what is asked next, once it
 * has let go of its files, gets another worker; the files say what the dead one has done. There is at most one.
 */
import type { EraseRange, ShardId } from "../../types.ts";
import { FlushError } from "../flush-error.ts";
import type { FlushReply, FlushRequest, WorkerOptions } from "./flush-protocol.ts";
import type { CompactReport, FlushJob, Progress } from "../segment-store.ts";

type Waiting = { resolve(reply: FlushReply): void; reject(error: FlushError): void; onProgress: Progress | undefined };
/** Lets go of files of a shard. */
export type Release = (shard: ShardId, files: number[]) => void;

export class FlushClient {
  readonly #start: () => Worker;
  readonly #options: WorkerOptions;
  readonly #release: Release;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #lastId = 0;
  /** Why the worker ends; it has its files until it has ended. */
  #ending: FlushError | undefined;
  #isClosing = false;

  constructor(start: () => Worker, options: WorkerOptions, release: Release) {
    this.#start = start;
    this.#options = options;
    this.#release = release;
    this.#begin();
  }

  /**
   * Resolves with whether the shard has erased entries that are not gone from its files.
   * @throws FlushError; the same job may be flushed again
   */
  async flush(job: FlushJob): Promise<boolean> {
    const reply = await this.#ask((id) => this.#post({ kind: "flush", id, job }));
    if (reply.kind !== "flushed") return false;
    this.#release(job.shard, reply.unsealed);
    return reply.isErasing;
  }

  /** @throws FlushError */
  async erase(shard: ShardId, ranges: EraseRange[], onProgress: Progress | undefined): Promise<void> {
    await this.#ask((id) => this.#post({ kind: "erase", id, shard, ranges }), onProgress);
  }

  /** @throws FlushError */
  async compact(shard: ShardId, level: number, onProgress: Progress | undefined): Promise<CompactReport> {
    const reply = await this.#ask((id) => this.#post({ kind: "compact", id, shard, level }), onProgress);
    if (reply.kind === "compacted") return reply.report;
    throw new FlushError(`the flush worker answered ${reply.kind}`, "worker_gone");
  }

  /** @throws FlushError */
  async spill(shard: ShardId): Promise<void> {
    await this.#ask((id) => this.#post({ kind: "spill", id, shard }));
  }

  /** @throws FlushError */
  async letGo(shard: ShardId): Promise<void> {
    await this.#ask((id) => this.#post({ kind: "letGo", id, shard }));
  }

  /**
   * Waits for the flushes that were handed over, then ends the worker. What comes behind them is refused. A worker that
   * does not answer is ended after `msMax`: what it has done the files say, and what it had is in the log.
   */
  async close(msMax: number): Promise<void> {
    if (this.#isClosing) return;
    const isThere = this.#worker !== undefined && this.#ending === undefined;
    const closed = isThere ? this.#ask((id) => this.#post({ kind: "close", id })) : Promise.resolve();
    this.#isClosing = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, msMax)));
    await Promise.race([closed.catch(() => undefined), late]);
    clearTimeout(timer);
    this.#end(new FlushError("the segment store is closed", "closed"));
    this.#worker?.terminate();
  }

  #ask(post: (id: number) => void, onProgress?: Progress): Promise<FlushReply> {
    if (this.#isClosing) return Promise.reject(new FlushError("the segment store is closed", "closed"));
    if (this.#ending !== undefined) return Promise.reject(this.#ending);
    if (this.#worker === undefined) this.#begin();
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, onProgress });
      post(id);
    });
  }

  #post(request: FlushRequest): void {
    this.#worker?.postMessage(request);
  }

  #begin(): void {
    const worker = this.#start();
    this.#worker = worker;
    worker.onmessage = (event: MessageEvent<FlushReply>) => this.#handle(event.data);
    worker.onerror = (event: ErrorEvent) => {
      this.#die(event.message);
      worker.terminate();
    };
    worker.addEventListener("close", () => {
      this.#die("it ended");
      this.#worker = undefined;
      this.#ending = undefined;
    });
    this.#post({ kind: "open", options: this.#options });
  }

  #handle(reply: FlushReply): void {
    const waiting = this.#waiting.get(reply.id);
    if (reply.kind === "progress") return waiting?.onProgress?.(reply.done, reply.total);
    if (reply.kind === "release") {
      this.#release(reply.shard, reply.files);
      return this.#post({ kind: "released", id: reply.id });
    }
    this.#waiting.delete(reply.id);
    if (reply.kind === "failed") waiting?.reject(new FlushError(reply.message, reply.code));
    else waiting?.resolve(reply);
  }

  #die(why: string): void {
    this.#end(new FlushError(`the flush worker is gone: ${why}`, "worker_gone"));
  }

  #end(error: FlushError): void {
    this.#ending ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#ending);
    this.#waiting.clear();
  }
}
