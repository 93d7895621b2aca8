/** Around the routers of a cluster's nodes: knows what is owed to other shards, so that a test can wait for it. */
import { encodeHandoff } from "../../../src/home/messages/codec/handoff-codec.ts";
import type { ShardRouter } from "../../../src/home/messages/shard-router.ts";
import { OwedHandoffs } from "../owed-handoffs.ts";
import type { Settling } from "../settled-faults.ts";

/** Nobody is told that a cast has come. It is there after so long, also on a busy machine. */
const CAST_MS = 100;

export class SettlingRouter implements Settling {
  readonly #owed = new OwedHandoffs();
  #asks = 0;
  #castAt = Number.NEGATIVE_INFINITY;

  get isSettled(): boolean {
    const isCastUnderWay = performance.now() - this.#castAt < CAST_MS;
    return this.#owed.isEmpty && this.#asks === 0 && !isCastUnderWay;
  }

  /** While a disk is held, what is asked for waits for it; nothing else takes long. */
  get isIdle(): boolean {
    return true;
  }

  /** The nodes are stopped: what was owed is offered by those that are started next. */
  clear(): void {
    this.#owed.clear();
    this.#asks = 0;
  }

  readonly around = (router: ShardRouter): ShardRouter => ({
    handOffAlong: (to, handoff, outcome) => router.handOffAlong(to, handoff, outcome),
    handOff: (to, handoff, outcome) => {
      const owed = this.#owed.add(handoff, encodeHandoff(handoff));
      router.handOff(to, handoff, {
        ...(outcome.appended === undefined ? {} : { appended: (through, read) => outcome.appended!(through, read) }),
        confirmed(through, read) {
          owed(through);
          outcome.confirmed(through, read);
        },
        missing: (through) => outcome.missing(through),
        notTaken: (error) => outcome.notTaken(error),
      });
    },
    ask: (kind, to, question) => {
      const answer = router.ask(kind, to, question);
      if (!(answer instanceof Promise)) return answer;
      this.#asks++;
      return answer.finally(() => void this.#asks--);
    },
    post: (to, group, post, reply) => router.post(to, group, post, reply),
    cast: (cast) => {
      this.#castAt = performance.now();
      router.cast(cast);
    },
    mayReach: (users, except) => router.mayReach(users, except),
  });
}
