/**
 * The flush worker: compression and SQLite writes, away from the event loop. Flushes one at a time in the order of their arrival; erasing and compacting
 * in the pauses. A compiled binary needs this file as an entrypoint of its own beside the program's.
 */
import type { ShardId } from "../types.ts";
import { errorCode, FlushError, systemCode } from "./errors.ts";
import type { FlushReply, FlushRequest, WorkerOptions } from "./flush-protocol.ts";
import { RewriteQueue, type RewriteTask } from "./rewrite-queue.ts";
import type { CompactReport, FlushJob } from "./types.ts";
import { WriterSet } from "./writer-set.ts";

declare const self: Worker;

class FlushServer {
  readonly #reply: (message: FlushReply, transfer?: ArrayBuffer[]) => void;
  readonly #writers: WriterSet;
  readonly #rewrites: RewriteQueue;

  constructor(options: WorkerOptions, reply: (message: FlushReply, transfer?: ArrayBuffer[]) => void) {
    this.#reply = reply;
    this.#writers = new WriterSet(options, options.writersMax);
    this.#rewrites = new RewriteQueue(this.#writers);
  }

  take(request: Exclude<FlushRequest, { kind: "open" }>): void {
    switch (request.kind) {
      case "flush":
        return this.#flush(request.id, request.job);
      case "erase":
        return this.#erase(request);
      case "compact":
        return this.#compact(request);
      case "released":
        return this.#rewrites.released();
      case "close":
        return this.#close(request.id);
    }
  }

  #flush(id: number, job: FlushJob): void {
    try {
      const flushed = this.#writers.use(job.shard, (writer) => writer.flush(job));
      this.#reply({ kind: "flushed", id, ...flushed });
    } catch (error) {
      this.#reply({ kind: "failed", id, ...describe(error), job }, buffersOf(job));
    }
  }

  #erase({ id, shard, ranges }: FlushRequest & { kind: "erase" }): void {
    try {
      if (ranges.length > 0) this.#writers.use(shard, (writer) => writer.erase(ranges));
    } catch (error) {
      return this.#fail(id, error);
    }
    const task = this.#task(id, shard, () => this.#reply({ kind: "erased", id }));
    this.#rewrites.add({ ...task, begin: (writer) => writer.eraseSteps() });
  }

  #compact({ id, shard, level }: FlushRequest & { kind: "compact" }): void {
    const done = (result: unknown): void => this.#reply({ kind: "compacted", id, report: result as CompactReport });
    this.#rewrites.add({ ...this.#task(id, shard, done), begin: (writer) => writer.compactSteps(level) });
  }

  #task(id: number, shard: ShardId, done: (result: unknown) => void): Omit<RewriteTask, "begin"> {
    return {
      shard,
      done,
      failed: (error) => this.#fail(id, error),
      progress: (bytes, total) => this.#reply({ kind: "progress", id, done: bytes, total }),
      release: (files) => this.#reply({ kind: "release", id, shard, files }),
    };
  }

  #fail(id: number, error: unknown): void {
    this.#reply({ kind: "failed", id, ...describe(error) });
  }

  #close(id: number): void {
    try {
      this.#rewrites.close(new FlushError("the segment store was closed before it was done", "closed"));
      this.#writers.close();
    } finally {
      this.#reply({ kind: "closed", id });
    }
  }
}

function serve(worker: Worker): void {
  let server: FlushServer | undefined;
  worker.onmessage = (event: MessageEvent<FlushRequest>) => {
    const request = event.data;
    if (request.kind !== "open") return server?.take(request);
    server = new FlushServer(request.options, (message, transfer = []) => worker.postMessage(message, transfer));
  };
}

function describe(error: unknown): { message: string; code: string } {
  const message = error instanceof Error ? error.message : String(error);
  const name = error instanceof Error ? error.name : "Error";
  return { message, code: systemCode(errorCode(error) ?? name) };
}

function buffersOf(job: FlushJob): ArrayBuffer[] {
  return [...new Set([job.image.buffer, job.checkpoint.buffer])];
}

serve(self);
