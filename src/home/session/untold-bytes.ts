/**
 * What a socket has sent and the runtime tells nobody of: pieces of a message that never ends, which may be empty, and whatever comes after a close.
 *
 *     read, as the kernel counts  =  frames that were taken, with their heads  +  a message under way  +  untold
 *
 * Untold bytes of an open socket are charged as so many empty pieces, the smallest frames there are; those after a close as bytes. The bytes of frames are
 * an upper bound, since nobody measures a text in UTF-8: so a sound client is never charged too much, and pieces beside other frames too little.
 *
 * Not here: who asks the kernel, and when (src/node/read-watch.ts).
 */
import type { Clock } from "../../base/clock.ts";
import type { Verdict } from "../../base/token-bucket.ts";
import type { FrameRates } from "../../domain/limits.ts";
import type { FrameBudget } from "./frame-budget.ts";

/** Of a frame that a client sends: an empty one, and the longest head. */
const PIECE_BYTES = 6;
const HEAD_BYTES_MAX = 14;
/** UTF-8 of a character, as `length` counts them. */
const CHARACTER_BYTES_MAX = 3;
/** A message as long as the runtime takes (socket-server.ts), with the heads of its pieces. */
const UNDER_WAY_BYTES = 144 << 10;

export class UntoldBytes {
  readonly #budget: FrameBudget;
  readonly #rates: FrameRates;
  readonly #clock: Clock;
  /** When it was last told; the first time says where to count from. */
  #last: { atMs: number; read: number; taken: number } | undefined;
  /** May belong to a message under way. */
  #underWay = 0;

  constructor(budget: FrameBudget, rates: FrameRates, clock: Clock) {
    this.#budget = budget;
    this.#rates = rates;
    this.#clock = clock;
  }

  /** @param read bytes of the connection that have been read since it began */
  charge(read: number, isClosed: boolean): Verdict {
    const { frames, bytes } = this.#budget.taken;
    const taken = frames * HEAD_BYTES_MAX + bytes * CHARACTER_BYTES_MAX;
    const last = this.#last;
    const atMs = this.#clock.monotonicMs();
    this.#last = { atMs, read, taken };
    if (last === undefined) return "within";
    const all = Math.max(0, this.#underWay + read - last.read - (taken - last.taken));
    this.#underWay = Math.min(all, UNDER_WAY_BYTES);
    const untold = all - this.#underWay;
    if (untold === 0) return "within";
    const seconds = (atMs - last.atMs) / 1000;
    // However long nobody asked: what the rate allows for that time is no burst.
    if (isClosed) return this.#budget.payBeside(0, Math.max(0, untold - seconds * this.#rates.bytes.perSecond));
    const pieces = untold / PIECE_BYTES;
    return this.#budget.payBeside(Math.max(0, pieces - seconds * this.#rates.frames.perSecond), 0);
  }
}
