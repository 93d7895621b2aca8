/**
 * The flush worker: compression and SQLite writes, away from the event loop. Flushes that have arrived together take
 * effect together; erasing and compacting happen in the pauses. A compiled binary needs this file as an entrypoint of
 * its own beside the program's.
 */
import type { ShardId } from "../../types.ts";
import { FlushError, isOfDamage, RECENT_DAMAGED } from "../flush-error.ts";
import { errorCode, systemCode } from "../sqlite/sqlite-errors.ts";
import type { FlushReply, FlushRequest, WorkerOptions } from "./flush-protocol.ts";
import { checkIdentity } from "../../vfs/held-directory.ts";
import { removeMarker } from "../sqlite/database-file.ts";
import { erasingPath, hasState } from "../sqlite/paths.ts";
import { RewriteQueue, type RewriteTask } from "./rewrite-queue.ts";
import { RecentWriter } from "./recent-writer.ts";
import { ShardFlushes } from "./shard-flushes.ts";
import type { CompactReport, FlushJob } from "../segment-store.ts";
import { WriterSet } from "./writer-set.ts";

declare const self: Worker;

class FlushServer {
  readonly #dir: string;
  readonly #reply: (message: FlushReply) => void;
  readonly #writers: WriterSet;
  readonly #recent: RecentWriter;
  readonly #flushes: ShardFlushes;
  readonly #rewrites: RewriteQueue;
  /** @throws DirectoryLostError when the data directory is not where it was */
  readonly #mustOwn: () => void;
  #arrived: { id: number; job: FlushJob }[] = [];

  constructor(options: WorkerOptions, reply: (message: FlushReply) => void) {
    this.#dir = options.dir;
    this.#reply = reply;
    this.#writers = new WriterSet(options, options.writersMax);
    this.#recent = new RecentWriter(options);
    this.#flushes = new ShardFlushes(options.dir, this.#writers, this.#recent, options.packing);
    const { identity } = options;
    this.#mustOwn = () => identity && checkIdentity(identity);
    this.#rewrites = new RewriteQueue(this.#writers, this.#mustOwn);
  }

  handle(request: Exclude<FlushRequest, { kind: "open" }>): void {
    switch (request.kind) {
      case "flush":
        if (this.#arrived.push(request) === 1) setImmediate(() => this.#flush());
        return;
      case "erase":
        return this.#erase(request);
      case "compact":
        return this.#compact(request);
      case "spill":
        return this.#spill(request);
      case "letGo":
        return this.#letGo(request);
      case "released":
        return this.#rewrites.released();
      case "close":
        return this.#close(request.id);
    }
  }

  #flush(): void {
    const jobs = this.#arrived;
    if (jobs.length === 0) return;
    this.#arrived = [];
    let replies: FlushReply[];
    try {
      this.#mustOwn();
      replies = this.#flushes.together(() => jobs.map((request) => this.#flushOne(request)));
    } catch (error) {
      // None of them is there for certain; the shard's reach says it. Damage to the file of all shards is
      // not that of one of them.
      const code = isOfDamage(error) ? RECENT_DAMAGED : describe(error).code;
      replies = jobs.map(({ id }) => ({ kind: "failed", id, message: describe(error).message, code }));
    }
    for (const reply of replies) this.#reply(reply);
  }

  #flushOne({ id, job }: { id: number; job: FlushJob }): FlushReply {
    try {
      return { kind: "flushed", id, ...this.#flushes.flush(job) };
    } catch (error) {
      return { kind: "failed", id, ...describe(error) };
    }
  }

  #erase({ id, shard, ranges }: FlushRequest & { kind: "erase" }): void {
    let hasOwnFiles: boolean;
    try {
      this.#mustOwn();
      this.#flush();
      hasOwnFiles = this.#flushes.together(() => this.#flushes.erase(shard, ranges));
      const bytes = this.#flushes.layerBytes(shard);
      this.#reply({ kind: "progress", id, done: bytes, total: bytes });
    } catch (error) {
      return this.#fail(id, error);
    }
    const done = (): void => {
      try {
        this.#recent.emptyWal();
        removeMarker(erasingPath(this.#dir, shard));
        this.#reply({ kind: "erased", id });
      } catch (error) {
        this.#fail(id, error);
      }
    };
    if (!hasOwnFiles) return done();
    this.#rewrites.add({ ...this.#task(id, shard, done), begin: (writer) => writer.eraseSteps() });
  }

  #compact({ id, shard, level }: FlushRequest & { kind: "compact" }): void {
    let layers: { bytesBefore: number; bytesAfter: number };
    try {
      this.#mustOwn();
      this.#flush();
      layers = this.#flushes.together(() => this.#flushes.compact(shard, level));
    } catch (error) {
      return this.#fail(id, error);
    }
    const done = (segments: CompactReport): void => {
      const bytesBefore = segments.bytesBefore + layers.bytesBefore;
      const bytesAfter = segments.bytesAfter + layers.bytesAfter;
      this.#reply({ kind: "compacted", id, report: { ...segments, bytesBefore, bytesAfter } });
    };
    if (!hasState(this.#dir, shard)) return done({ filesBefore: 0, filesAfter: 0, bytesBefore: 0, bytesAfter: 0 });
    const task = this.#task(id, shard, (result) => done(result as CompactReport));
    this.#rewrites.add({ ...task, begin: (writer) => writer.compactSteps(level) });
  }

  #spill({ id, shard }: FlushRequest & { kind: "spill" }): void {
    try {
      this.#mustOwn();
      this.#flush();
      this.#flushes.together(() => this.#flushes.spill(shard, []));
      this.#reply({ kind: "spilled", id });
    } catch (error) {
      this.#fail(id, error);
    }
  }

  #letGo({ id, shard }: FlushRequest & { kind: "letGo" }): void {
    try {
      this.#mustOwn();
      this.#flush();
      this.#flushes.together(() => this.#flushes.letGo(shard));
      this.#writers.closeOne(shard);
      this.#reply({ kind: "letGone", id });
    } catch (error) {
      this.#fail(id, error);
    }
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

  get #isOwned(): boolean {
    try {
      this.#mustOwn();
      return true;
    } catch {
      return false;
    }
  }

  #fail(id: number, error: unknown): void {
    this.#reply({ kind: "failed", id, ...describe(error) });
  }

  #close(id: number): void {
    try {
      this.#flush();
      this.#rewrites.close(new FlushError("the segment store was closed before it was done", "closed"));
      if (this.#isOwned) {
        this.#writers.close();
        this.#recent.close();
      } else {
        this.#writers.abandon();
        this.#recent.abandon();
      }
    } finally {
      this.#reply({ kind: "closed", id });
    }
  }
}

function serve(worker: Worker): void {
  let server: FlushServer | undefined;
  worker.onmessage = (event: MessageEvent<FlushRequest>) => {
    const request = event.data;
    if (request.kind !== "open") return server?.handle(request);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's, not a window's
    server = new FlushServer(request.options, (message) => worker.postMessage(message));
  };
}

function describe(error: unknown): { message: string; code: string } {
  const message = error instanceof Error ? error.message : String(error);
  const name = error instanceof Error ? error.name : "Error";
  return { message, code: systemCode(errorCode(error) ?? name) };
}

serve(self);
