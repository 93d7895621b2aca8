/**
 * Calls that a shard has answered lately, or is about to, by their names: one that is asked again, since its answer was lost or its question came twice, is answered the
 * same, and nothing is done a second time. Kept in memory: what was asked before a restart is answered anew.
 */
import { answered, type Steps } from "../../base/steps.ts";

/** Of one shard. A question comes again within seconds, if it does. */
const CALLS_KEPT = 100;

export class AnsweredCalls<Answer> {
  /** The oldest first. */
  readonly #calls = new Map<string, Promise<Answer>>();

  /** @param name drawn at random by whoever asks, for each call. @throws what the call is refused with, as often as it is asked */
  *once(name: string, work: () => Steps<Answer>): Steps<Answer> {
    const before = this.#calls.get(name);
    if (before !== undefined) return yield* answered(before);
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    // Nobody may ask again.
    promise.catch(() => {});
    this.#keep(name, promise);
    try {
      const answer = yield* work();
      resolve(answer);
      return answer;
    } catch (error) {
      reject(error);
      throw error;
    }
  }

  #keep(name: string, promise: Promise<Answer>): void {
    this.#calls.set(name, promise);
    if (this.#calls.size <= CALLS_KEPT) return;
    for (const oldest of this.#calls.keys()) return void this.#calls.delete(oldest);
  }
}
