/**
 * Acts on frames that came faster than their slices. Users take turns, and so do the sockets of one user; a turn is one
 * frame. The work in one turn of the event loop is bounded in time, so that frames of slow sockets, and everything
 * else, get in between.
 */
import type { Clock } from "../../base/clock.ts";

export type TurnTaker = {
  /** The user, or "" before `hello`. */
  readonly user: string;
  /** Acts on the oldest frame that waits. @returns whether more wait */
  actOnNext(): boolean;
  /** Its turn threw: it gets no more turns. */
  failed(error: unknown): void;
};

const TURN_MS = 2;
/** Frames between two looks at the clock. */
const LOOK_EVERY = 16;

export class FrameTurns {
  readonly #clock: Clock;
  /** Users in the order of their turns, each with its sockets in the order of theirs. */
  readonly #waiting = new Map<string, TurnTaker[]>();
  #isScheduled = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Adds a socket whose first frame began to wait. */
  add(taker: TurnTaker): void {
    const own = this.#waiting.get(taker.user);
    if (own === undefined) this.#waiting.set(taker.user, [taker]);
    else own.push(taker);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#run);
  }

  readonly #run = (): void => {
    this.#isScheduled = false;
    const endAt = this.#clock.monotonicMs() + TURN_MS;
    for (let acted = 1; this.#waiting.size > 0; acted++) {
      this.#next();
      if (acted % LOOK_EVERY === 0 && this.#clock.monotonicMs() >= endAt) break;
    }
    if (this.#waiting.size > 0) this.#schedule();
  };

  #next(): void {
    for (const [user, takers] of this.#waiting) {
      this.#waiting.delete(user);
      const taker = takers.shift()!;
      if (this.#hasMore(taker)) takers.push(taker);
      if (takers.length > 0) this.#rejoin(user, takers);
      return;
    }
  }

  /** An error in one socket's frame must not keep the others from their turns. */
  #hasMore(taker: TurnTaker): boolean {
    try {
      return taker.actOnNext();
    } catch (error) {
      taker.failed(error);
      return false;
    }
  }

  /** Acting on the frame may have added another socket of the user. */
  #rejoin(user: string, takers: TurnTaker[]): void {
    const added = this.#waiting.get(user);
    this.#waiting.set(user, added === undefined ? takers : [...takers, ...added]);
  }
}
