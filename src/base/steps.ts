/**
 * Long work in short steps, so that it never blocks the event loop. A step is the work between two `yield`s, and takes
 * well below a millisecond. In each turn of the loop, steps run for a few milliseconds. The rest waits for the next
 * turn, after new input.
 *
 * Short tasks start and end in their order. A task that takes longer than a slice goes to the end of the queue.
 *
 * Anything may change between two steps, so a task must check again what it relies on.
 */
import type { Clock } from "./clock.ts";

/** Work that can be paused at each `yield`. If it yields a promise, its next step runs when the promise is settled. */
export type Steps<Result> = Generator<void | Promise<unknown>, Result>;

const TURN_MS = 3;
const SLICE_MS = 1;

type Task = { steps: Steps<unknown>; resolve: (result: unknown) => void; reject: (error: unknown) => void };

export class StepTurns {
  readonly #clock: Clock;
  readonly #waiting: Task[] = [];
  /** When the steps of this turn end; undefined before its first step. */
  #endAt: number | undefined;
  #isWorking = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Does the work, starting in this turn if there is time. Resolves with its result, or rejects with its error. */
  run<Result>(steps: Steps<Result>): Promise<Result> {
    return new Promise<unknown>((resolve, reject) => {
      this.#waiting.push({ steps, resolve, reject });
      if (!this.#isWorking) this.#work();
    }) as Promise<Result>;
  }

  /** At least one step runs in each turn, however slow the machine is. */
  #work(): void {
    if (this.#endAt !== undefined && this.#clock.monotonicMs() >= this.#endAt) return;
    const endAt = (this.#endAt ??= this.#beginTurn());
    this.#isWorking = true;
    do {
      const task = this.#waiting.shift();
      if (task === undefined) break;
      this.#slice(task, endAt);
    } while (this.#clock.monotonicMs() < endAt);
    this.#isWorking = false;
  }

  /** Runs steps of one task. The rest goes to the end of the queue, or waits for the promise that it yielded. */
  #slice(task: Task, turnEndsAt: number): void {
    const endAt = Math.min(this.#clock.monotonicMs() + SLICE_MS, turnEndsAt);
    try {
      do {
        const { done, value } = task.steps.next();
        if (done === true) return task.resolve(value);
        if (value !== undefined) return this.#parked(task, value);
      } while (this.#clock.monotonicMs() < endAt);
      this.#waiting.push(task);
    } catch (error) {
      task.reject(error);
    }
  }

  /** A waiting task uses no turn. The task itself reads how the promise ended (`answered`). */
  #parked(task: Task, until: Promise<unknown>): void {
    const goOn = (): void => {
      this.#waiting.push(task);
      if (!this.#isWorking) this.#work();
    };
    until.then(goOn, goOn);
  }

  #beginTurn(): number {
    setImmediate(this.#nextTurn);
    return this.#clock.monotonicMs() + TURN_MS;
  }

  readonly #nextTurn = (): void => {
    this.#endAt = undefined;
    if (this.#waiting.length > 0) this.#work();
  };
}

/** Does all the work at once. @throws Error when the work yields a promise */
export function atOnce<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    if (value !== undefined) throw new Error("work that waits for an answer cannot be done at once");
  }
}

/** Returns an answer that may be a promise. @throws what the promise rejects with */
export function* answered<Answer>(answer: Answer | Promise<Answer>): Steps<Answer> {
  if (!(answer instanceof Promise)) return answer;
  let end: { value: Answer } | { error: unknown } | undefined;
  const settled = answer.then(
    (value) => void (end = { value }),
    (error: unknown) => void (end = { error }),
  );
  while (end === undefined) yield settled;
  if ("error" in end) throw end.error;
  return end.value;
}

export const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
