/**
 * Computes the marks for received messages that memory does not hold, from the timeline in steps. It costs as much as
 * it covers, and nothing waits for it.
 */
import type { Steps } from "../../base/steps.ts";
import { isGroup, type Address } from "../../domain/address.ts";
import { readTimelineEntry } from "../../domain/entries.ts";
import type { Seq } from "../../../storage/types.ts";
import { newestTaken } from "../state/undelivered-queue.ts";
import type { UserState } from "../state/user-state.ts";

/** Entries of a timeline that are read in one step. */
const WALK_PAGE = 64;

export type WalkEnds = {
  isStopped(): boolean;
  /** The peer's message of that seq, in the peer's numbering, was received. */
  delivered(from: Address, seq: Seq): void;
  /** All marks through this seq have been said. */
  received(through: Seq): void;
};

/** A walk through `through`, which may rise meanwhile. */
export class ReceivedWalk {
  readonly #user: UserState;
  readonly #ends: WalkEnds;
  through: Seq;

  constructor(user: UserState, through: Seq, ends: WalkEnds) {
    this.#user = user;
    this.through = through;
    this.#ends = ends;
  }

  /** Until memory holds the rest. @returns whether that was reached; false if stopped */
  *steps(): Steps<boolean> {
    const user = this.#user;
    for (;;) {
      const end = Math.min(this.through, user.undelivered.heldAbove) as Seq;
      if (user.receivedPending >= end) return true;
      if (this.#ends.isStopped()) return false;
      const { through } = this;
      const isAll = through - user.receivedPending > WALK_PAGE && through >= newestTaken(user.conversations.values());
      yield* isAll ? this.#deliverAll(through) : this.#deliverPage(end);
      yield;
    }
  }

  /** All messages through `end`: the conversations know their newest message, so nothing is read. */
  *#deliverAll(end: Seq): Steps<void> {
    const user = this.#user;
    const newest = [...user.conversations.values()]
      .filter(({ address, takenSeq }) => !isGroup(address) && takenSeq > user.receivedPending)
      .map(({ address, takenThrough }): [Address, Seq] => [address, takenThrough]);
    yield* this.#tell(newest);
    this.#ends.received(end);
  }

  /** A page of the timeline: the newest message of each conversation in it counts. */
  *#deliverPage(end: Seq): Steps<void> {
    const user = this.#user;
    const count = Math.min(WALK_PAGE, end - user.receivedPending);
    const page = user.log.readForward(user.address, user.receivedPending, count);
    const newest = new Map<Address, Seq>();
    for (const stored of page) {
      const entry = readTimelineEntry(stored);
      if (entry.kind === "taken") newest.set(stored.lane as Address, entry.fromSeq);
    }
    yield* this.#tell(newest);
    this.#ends.received(page.at(-1)?.seq ?? end);
  }

  *#tell(newest: Iterable<[Address, Seq]>): Steps<void> {
    for (const [address, fromSeq] of newest) {
      this.#ends.delivered(address, fromSeq);
      yield;
    }
  }
}
