/**
 * Erasures and compactions of a worker, one at a time and a step at a time, so that flushes need not wait for them.
 *
 * A task whose writer failed meanwhile (in a flush) fails as well: its files are leftovers by then. It can be asked for
 * again.
 */
import type { ShardId } from "../../types.ts";
import type { RewriteSteps } from "./shard-rewrites.ts";
import type { ShardWriter } from "./shard-writer.ts";
import type { WriterSet } from "./writer-set.ts";

export type RewriteTask = {
  shard: ShardId;
  begin(writer: ShardWriter): RewriteSteps<unknown>;
  done(result: unknown): void;
  failed(error: unknown): void;
  progress(done: number, total: number): void;
  /** Readers must let go of these files; `released` is called then. */
  release(files: number[]): void;
};

type Running = { task: RewriteTask; writer: ShardWriter; steps: RewriteSteps<unknown>; bytes: number };

export class RewriteQueue {
  readonly #writers: WriterSet;
  readonly #mustOwn: () => void;
  readonly #waiting: RewriteTask[] = [];
  #running: Running | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param mustOwn asked before each step */
  constructor(writers: WriterSet, mustOwn: () => void) {
    this.#writers = writers;
    this.#mustOwn = mustOwn;
  }

  add(task: RewriteTask): void {
    this.#waiting.push(task);
    if (this.#running === undefined) this.#next();
  }

  released(): void {
    this.#later();
  }

  /** Begins and continues nothing more; tasks that are not done fail. */
  close(error: Error): void {
    clearTimeout(this.#timer);
    const tasks = this.#waiting.splice(0);
    if (this.#running !== undefined) tasks.unshift(this.#running.task);
    try {
      this.#running?.steps.return(undefined);
    } finally {
      this.#running = undefined;
      this.#writers.pin(undefined);
      for (const task of tasks) task.failed(error);
    }
  }

  #next(): void {
    this.#running = undefined;
    this.#writers.pin(undefined);
    const task = this.#waiting.shift();
    if (task === undefined) return;
    try {
      this.#writers.pin(task.shard);
      this.#writers.use(task.shard, (writer) => {
        this.#running = { task, writer, steps: task.begin(writer), bytes: 0 };
      });
      this.#later();
    } catch (error) {
      this.#fail(task, error);
    }
  }

  #later(): void {
    this.#timer = setTimeout(() => this.#step(), 0);
  }

  #step(): void {
    const running = this.#running;
    if (running === undefined) return;
    const { task, writer, steps } = running;
    try {
      this.#mustOwn();
      if (!this.#writers.isCurrent(task.shard, writer)) throw new Error("a flush of the shard has failed meanwhile");
      const step = steps.next();
      if (step.done === true) {
        task.done(step.value);
        return this.#next();
      }
      if (step.value.kind === "release") return task.release(step.value.files);
      running.bytes += step.value.bytes;
      task.progress(Math.min(running.bytes, step.value.total), step.value.total);
      this.#later();
    } catch (error) {
      this.#writers.drop(task.shard);
      this.#fail(task, error);
    }
  }

  #fail(task: RewriteTask, error: unknown): void {
    task.failed(error);
    this.#next();
  }
}
