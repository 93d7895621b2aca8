/** Changes of one group run one after the other, so that each is checked against what the one before left. Whether there is such a group does not matter. */
import { AppError } from "../../base/errors.ts";
import { answered, type Steps } from "../../base/steps.ts";
import type { GroupAddress } from "../../domain/address.ts";

/** Of one group, the one under way included: each holds a call. */
export const CHANGES_MAX = 200;

/** `last`: resolves when the last change that came has ended. */
type Queue = { last: Promise<void>; length: number };

export class GroupTurns {
  readonly #queues = new Map<GroupAddress, Queue>();

  /** Runs the change when all that came before it have ended. @throws AppError unavailable when too many wait */
  *take<Result>(group: GroupAddress, change: () => Steps<Result>): Steps<Result> {
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
