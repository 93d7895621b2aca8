/**
 * Limits what one socket may send, in frames and in bytes, whether the frames are accepted or not. Rates:
 * src/domain/limits.ts.
 *
 * A socket acts in slices of a few frames. A slice is paid for when it ends, by the socket and by its user, so a
 * message costs two additions and no look at the clock. A socket that uses up its slice within a millisecond is fast:
 * its next frames wait for their turn (frame-turns.ts), so that other sockets need not wait for all of them.
 */
import type { Clock } from "../../base/clock.ts";
import { TokenBucket, type Verdict } from "../../base/token-bucket.ts";
import type { FrameRates } from "../../domain/limits.ts";

/**
 * `act` on the frame at once, let it `wait` for a turn, refuse it (`short`), or close the connection (`far-beyond`).
 */
export type FrameVerdict = "act" | "wait" | Exclude<Verdict, "within">;

const SLICE_FRAMES = 32;
const SLICE_BYTES = 65_536;
const SLICE_MS = 1;

/** A bucket of frames and one of bytes, spent together. Both are full, and made when something is first spent. */
export class FrameBuckets {
  readonly #rates: FrameRates;
  #frames: TokenBucket | undefined = undefined;
  #bytes: TokenBucket | undefined = undefined;

  constructor(rates: FrameRates) {
    this.#rates = rates;
  }

  spend(frames: number, bytes: number, nowMs: number): Verdict {
    this.#frames ??= new TokenBucket(this.#rates.frames, nowMs);
    this.#bytes ??= new TokenBucket(this.#rates.bytes, nowMs);
    return worse(this.#frames.spend(frames, nowMs), this.#bytes.spend(bytes, nowMs));
  }

  get waitMs(): number {
    return Math.max(this.#frames?.waitMs ?? 0, this.#bytes?.waitMs ?? 0);
  }
}

export class FrameBudget {
  readonly #clock: Clock;
  readonly #own: FrameBuckets;
  /** Of the user, once the socket has said hello. */
  #shared: FrameBuckets | undefined;
  #frames = 0;
  #bytes = 0;
  /** Of earlier slices. */
  #framesPaid = 0;
  #bytesPaid = 0;
  #sliceAt = Number.NEGATIVE_INFINITY;
  /** Whether each frame is paid for by itself, since the socket is fast or in debt. */
  #isWatched = false;

  constructor(rates: FrameRates, clock: Clock) {
    this.#clock = clock;
    this.#own = new FrameBuckets(rates);
  }

  /** From now on this socket spends from its user's buckets too. */
  share(buckets: FrameBuckets): void {
    this.#shared = buckets;
  }

  /** Spends a frame of so many bytes. */
  spend(bytes: number): FrameVerdict {
    const frames = ++this.#frames;
    this.#bytes += bytes;
    if (frames <= SLICE_FRAMES && this.#bytes <= SLICE_BYTES && !this.#isWatched) return "act";
    return this.#pay(this.#clock.monotonicMs());
  }

  /** Frames and bytes of all slices. */
  get spent(): { frames: number; bytes: number } {
    return { frames: this.#framesPaid + this.#frames, bytes: this.#bytesPaid + this.#bytes };
  }

  /** Pays for frames and bytes outside of the slices. */
  payBeside(frames: number, bytes: number): Verdict {
    const now = this.#clock.monotonicMs();
    const own = this.#own.spend(frames, bytes, now);
    return worse(own, this.#shared?.spend(frames, bytes, now) ?? "within");
  }

  /** When a refused client may go on, in milliseconds. */
  get waitMs(): number {
    return Math.max(1, this.#own.waitMs, this.#shared?.waitMs ?? 0);
  }

  #pay(now: number): FrameVerdict {
    const own = this.#own.spend(this.#frames, this.#bytes, now);
    const shared = this.#shared?.spend(this.#frames, this.#bytes, now) ?? "within";
    this.#framesPaid += this.#frames;
    this.#bytesPaid += this.#bytes;
    this.#frames = 0;
    this.#bytes = 0;
    const verdict = worse(own, shared);
    if (verdict !== "within") {
      this.#isWatched = true;
      return verdict;
    }
    const isSliceOver = now - this.#sliceAt < SLICE_MS;
    this.#isWatched = isSliceOver;
    if (isSliceOver) return "wait";
    this.#sliceAt = now;
    return "act";
  }
}

const ORDER: readonly Verdict[] = ["within", "short", "far-beyond"];

const worse = (one: Verdict, other: Verdict): Verdict => (ORDER.indexOf(one) >= ORDER.indexOf(other) ? one : other);
