/**
 * The flush worker: compression and SQLite writes, away from the event loop. One job at a time, in the order of their arrival.
 *
 * Keeps at most `writersMax` shards open, least recently flushed closed first. A writer that failed is closed as it is and opened anew by
 * the next flush of its shard. A compiled binary needs this file as an entrypoint of its own beside the program's.
 */
import type { ShardId } from "../types.ts";
import { errorCode, systemCode } from "./errors.ts";
import type { FlushReply, FlushRequest, WorkerOptions } from "./flush-protocol.ts";
import { ShardWriter } from "./shard-writer.ts";
import type { FlushJob } from "./types.ts";

declare const self: Worker;

class WriterSet {
  readonly #options: WorkerOptions;
  readonly #writers = new Map<ShardId, ShardWriter>();

  constructor(options: WorkerOptions) {
    this.#options = options;
  }

  flush(job: FlushJob): number[] {
    const writer = this.#writers.get(job.shard) ?? new ShardWriter(job.shard, this.#options);
    this.#writers.delete(job.shard);
    try {
      const unsealed = writer.flush(job);
      this.#writers.set(job.shard, writer);
      if (this.#writers.size > this.#options.writersMax) this.#closeOldest();
      return unsealed;
    } catch (error) {
      writer.abandon();
      throw error;
    }
  }

  close(): void {
    while (this.#writers.size > 0) this.#closeOldest();
  }

  #closeOldest(): void {
    for (const [shard, writer] of this.#writers) {
      this.#writers.delete(shard);
      return writer.close();
    }
  }
}

function serve(worker: Worker): void {
  let writers: WriterSet | undefined;
  const reply = (message: FlushReply, transfer: ArrayBuffer[] = []): void => worker.postMessage(message, transfer);
  worker.onmessage = (event: MessageEvent<FlushRequest>) => {
    const request = event.data;
    if (request.kind === "open") writers = new WriterSet(request.options);
    else if (request.kind === "close") {
      writers?.close();
      reply({ kind: "closed", id: request.id });
    } else {
      try {
        reply({ kind: "done", id: request.id, unsealed: writers!.flush(request.job) });
      } catch (error) {
        const { message, code } = describe(error);
        reply({ kind: "failed", id: request.id, message, code, job: request.job }, buffersOf(request.job));
      }
    }
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
