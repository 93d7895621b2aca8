/**
 * Long work in short steps, so that the event loop never stands still for it. A step is what the work does between two `yield`s, and takes well below a
 * millisecond. In each turn of the loop steps are done for a few milliseconds; what is left waits for the next turn, behind what came in meanwhile.
 *
 * Work that is short begins and ends in the order in which it came. Work that takes longer than a slice goes behind what waits.
 *
 * Between two steps anything may happen: whoever goes on looks again at what may have changed.
 */
import type { Clock } from "./clock.ts";

/** Work that can be left off at each `yield`. A promise that is yielded is waited for: the next step comes when it is settled. */
export type Steps<Result> = Generator<void | Promise<unknown>, Result>;

const TURN_MS = 3;
const SLICE_MS = 1;

type Task = { steps: Steps<unknown>; resolve: (result: unknown) => void; reject: (error: unknown) => void };

export class StepTurns {
  readonly #clock: Clock;
  readonly #waiting: Task[] = [];
  /** When this turn of the event loop has done enough; undefined before its first step. */
  #endAt: number | undefined;
  #isWorking = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Does the work, at once as far as this turn of the event loop has time for it. Resolves with its result, or rejects with what it throws. */
  run<Result>(steps: Steps<Result>): Promise<Result> {
    return new Promise<unknown>((resolve, reject) => {
      this.#waiting.push({ steps, resolve, reject });
      if (!this.#isWorking) this.#work();
    }) as Promise<Result>;
  }

  /** At least one step in each turn, however slow the machine is. */
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

  /** Does steps of one task; what is left of it waits behind the others, or for the promise that it has yielded. */
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

  /** What it waits for takes no turn. How it ended the task looks up by itself (`answered`). */
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

/** Does all of it at once. @throws Error when it waits for somebody else: that cannot be done at once */
export function atOnce<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    if (value !== undefined) throw new Error("work that waits for an answer cannot be done at once");
  }
}

/** An answer that is at hand, or comes later. @throws what the promise rejects with */
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
