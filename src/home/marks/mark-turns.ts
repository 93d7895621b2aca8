/**
 * Says when the marks of a node's shards are written. Each write of the log asks only shards that have gathered marks.
 * One timer serves marks that can wait, and marks that were handed over and not confirmed.
 */
import type { Clock } from "../../base/clock.ts";

const LAZY_MS = 1000;

/** The marks of one shard, as a node sees them. */
export type WaitingMarks = {
  /** Appends gathered marks: a write of the log is about to begin. */
  write(): void;
  /** About a second has passed. @returns whether something waits for the next tick */
  tick(nowMs: number): boolean;
  /** Marks that could wait go with the next writes. */
  hurry(): void;
};

export class MarkTurns {
  readonly #clock: Clock;
  readonly #schedule: () => void;
  #gathered: WaitingMarks[] = [];
  readonly #waiting = new Set<WaitingMarks>();
  #isStopped = false;
  #cancel: (() => void) | undefined;

  /** @param schedule asks for a write of the log, which calls `write` */
  constructor(clock: Clock, schedule: () => void) {
    this.#clock = clock;
    this.#schedule = schedule;
  }

  /** Marks have gathered for the next write. Called once before it. */
  gathered(marks: WaitingMarks): void {
    this.#gathered.push(marks);
    this.#schedule();
  }

  /** Marks can wait. Called once before a tick. */
  waits(marks: WaitingMarks): void {
    this.#waiting.add(marks);
    if (!this.#isStopped) this.#cancel ??= this.#clock.after(LAZY_MS, () => this.#tick());
  }

  /** Called just before each write of the log. Appended marks may let other marks follow. */
  write(): void {
    while (this.#gathered.length > 0) {
      const gathered = this.#gathered;
      this.#gathered = [];
      for (const marks of gathered) marks.write();
    }
  }

  /** Marks that would have waited go with the next writes. */
  hurry(): void {
    for (const marks of this.#waiting) marks.hurry();
  }

  /** The timer causes no more writes: the log is about to be closed. */
  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  #tick(): void {
    this.#cancel = undefined;
    const now = this.#clock.monotonicMs();
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const marks of waiting) if (marks.tick(now)) this.waits(marks);
  }
}
