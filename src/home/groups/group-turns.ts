/**
 * Runs the changes of one group one after the other, so that each is checked against the result of the one before. The
 * group need not exist.
 */
import { AppError } from "../../base/errors.ts";
import { answered, type Steps } from "../../base/steps.ts";
import type { GroupAddress } from "../../domain/address.ts";

/** Per group, including the one under way: each holds a call. */
export const CHANGES_MAX = 200;

/** `last`: resolves when the newest change has ended. */
type Queue = { last: Promise<void>; length: number };

export class GroupTurns {
  readonly #queues = new Map<GroupAddress, Queue>();

  /** Runs the change when all earlier ones have ended. @throws AppError unavailable if too many wait */
  *run<Result>(group: GroupAddress, change: () => Steps<Result>): Steps<Result> {
    const queue = this.#queues.get(group) ?? { last: Promise.resolve(), length: 0 };
    if (queue.length >= CHANGES_MAX)
      throw new AppError("unavailable", `${group}: ${CHANGES_MAX} changes wait for each other; try again later`);
    const before = queue.last;
    const { promise, resolve } = Promise.withResolvers<void>();
    queue.last = promise;
    queue.length++;
    this.#queues.set(group, queue);
    try {
      if (queue.length > 1) yield* answered(before);
      return yield* change();
    } finally {
      resolve();
      if (--queue.length === 0) this.#queues.delete(group);
    }
  }
}
