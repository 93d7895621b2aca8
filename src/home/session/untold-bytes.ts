/**
 * Counts bytes that a socket has sent and the runtime does not report: pieces of a message that never ends (pieces may
 * be empty), and everything after a close.
 *
 *     bytes read, as the kernel counts  =  frames received, with their headers  +  a message under way  +  untold
 *
 * Untold bytes of an open socket are charged as so many empty pieces, the smallest frames there are; those after a
 * close are charged as bytes. The size of received frames is an upper bound, since their UTF-8 is not measured: so a
 * sound client is never charged too much, but pieces between other frames are charged too little.
 *
 * Not here: when the kernel is asked (src/node/read-watch.ts).
 */
import type { Clock } from "../../base/clock.ts";
import type { Verdict } from "../../base/token-bucket.ts";
import type { FrameRates } from "../../domain/limits.ts";
import type { FrameBudget } from "./frame-budget.ts";

/** Sizes of a client's frames: an empty frame, and the longest header. */
const PIECE_BYTES = 6;
const HEADER_BYTES_MAX = 14;
/** The most bytes of UTF-8 for one unit of `length`. */
const CHARACTER_BYTES_MAX = 3;
/** The longest message that the runtime accepts (socket-server.ts), with the headers of its pieces. */
const UNDER_WAY_BYTES = 144 << 10;

export class UntoldBytes {
  readonly #budget: FrameBudget;
  readonly #rates: FrameRates;
  readonly #clock: Clock;
  /** Of the last call; undefined before the first, which sets where counting begins. */
  #last: { atMs: number; read: number; counted: number } | undefined;
  /** Bytes that may belong to a message under way. */
  #underWay = 0;

  constructor(budget: FrameBudget, rates: FrameRates, clock: Clock) {
    this.#budget = budget;
    this.#rates = rates;
    this.#clock = clock;
  }

  /** @param read bytes of the connection that have been read since it began */
  charge(read: number, isClosed: boolean): Verdict {
    const { frames, bytes } = this.#budget.spent;
    const counted = frames * HEADER_BYTES_MAX + bytes * CHARACTER_BYTES_MAX;
    const last = this.#last;
    const atMs = this.#clock.monotonicMs();
    this.#last = { atMs, read, counted };
    if (last === undefined) return "within";
    const all = Math.max(0, this.#underWay + read - last.read - (counted - last.counted));
    this.#underWay = Math.min(all, UNDER_WAY_BYTES);
    const untold = all - this.#underWay;
    if (untold === 0) return "within";
    const seconds = (atMs - last.atMs) / 1000;
    // The allowance covers the whole time since the last call, so that a late call does not look like a burst.
    if (isClosed) return this.#budget.payBeside(0, Math.max(0, untold - seconds * this.#rates.bytes.perSecond));
    const pieces = untold / PIECE_BYTES;
    return this.#budget.payBeside(Math.max(0, pieces - seconds * this.#rates.frames.perSecond), 0);
  }
}
