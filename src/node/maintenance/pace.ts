/**
 * The pace of maintenance: one step a turn of the event loop, with pauses, until other work is due or the shards are
 * closed.
 */
import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import { nextTurn } from "../../base/steps.ts";
import { isDamage } from "../../home/damage.ts";
import { LogFailedError } from "../../../storage/errors.ts";
import { FlushError } from "../../../storage/files/flush-error.ts";

export class Pace {
  readonly #clock: Clock;
  readonly #isOpen: () => boolean;
  #isStopped = false;
  #endRest: (() => void) | undefined;
  /** Resolved while it rewrites files: then it appends nothing to the log. */
  #inFiles = Promise.withResolvers<void>();
  /** Other work is due. */
  isWoken = false;
  /** Something failed that may succeed soon. */
  mustTryAgain = false;

  constructor(clock: Clock, isOpen: () => boolean) {
    this.#clock = clock;
    this.#isOpen = isOpen;
  }

  readonly isStopped = (): boolean => this.#isStopped;

  get isOver(): boolean {
    return this.#isStopped || !this.#isOpen();
  }

  get inFiles(): Promise<void> {
    return this.#inFiles.promise;
  }

  stop(): void {
    this.#isStopped = true;
    this.#endRest?.();
  }

  wake(): void {
    this.isWoken = true;
    this.#endRest?.();
  }

  /** @throws AppError when it has been stopped, or the log has failed */
  mustGoOn(): void {
    if (this.isOver) throw new AppError("unavailable", "the shards are being closed");
  }

  /**
   * Ignores a failure of one user, stream or shard, so that the others go on. @throws errors that concern the whole
   * node
   */
  goOnAfter(error: unknown): void {
    this.mustGoOn();
    if (error instanceof FlushError) throw error;
    const isPassing = error instanceof AppError || error instanceof LogFailedError;
    if (isPassing && !isDamage(error)) this.mustTryAgain = true;
  }

  async nextTurn(): Promise<void> {
    await nextTurn();
    this.mustGoOn();
  }

  async rest(ms: number): Promise<void> {
    this.mustGoOn();
    if (this.isWoken) return this.nextTurn();
    await new Promise<void>((resolve) => {
      const end = (): void => {
        cancel();
        this.#endRest = undefined;
        resolve();
      };
      const cancel = this.#clock.after(ms, end);
      this.#endRest = end;
    });
  }

  async workInFiles<T>(work: () => Promise<T>): Promise<T> {
    this.mustGoOn();
    this.#inFiles.resolve();
    try {
      return await work();
    } finally {
      this.#inFiles = Promise.withResolvers();
      this.mustGoOn();
    }
  }
}
