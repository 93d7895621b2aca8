/**
 * Calls that a shard has answered lately or is answering, by name. A call that comes twice, or again since its answer
 * was lost, gets the same answer, and its work is done once. Kept in memory: after a restart a repeated call is done
 * anew.
 */
import { answered, type Steps } from "../../base/steps.ts";

/** Per shard. A call that is repeated comes again within seconds. */
const CALLS_KEPT = 100;

export class AnsweredCalls<Answer> {
  /** The oldest first. */
  readonly #calls = new Map<string, Promise<Answer>>();

  /**
   * @param name drawn at random by the caller, for each call. @throws the refusal of the call, each time it is repeated
   */
  *once(name: string, work: () => Steps<Answer>): Steps<Answer> {
    const before = this.#calls.get(name);
    if (before !== undefined) return yield* answered(before);
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    // Without a repeated call nobody awaits the promise.
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
