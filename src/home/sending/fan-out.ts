/**
 * The price of a post to a group. It is written once, and sent once for each connected member. The author pays for all
 * members in bytes, however many of them are connected.
 *
 * Not here: who gets the post (accept-post.ts, src/home/group-mirror.ts).
 */
import { AppError } from "../../base/errors.ts";
import { TokenBucket, type Rate } from "../../base/token-bucket.ts";
import type { UserState } from "../state/user-state.ts";

/** Bytes of frames that one author's posts may cause. */
export const FAN_OUT: Rate = { perSecond: 16 << 20, burst: 128 << 20 };

/** Of a frame without its text, plus the cost of a write to one member. */
const FRAME_BYTES = 256;
/** A smaller post is covered by the cost of its message. */
const FREE_BYTES = 64 << 10;
const REFUSAL_MS_MIN = 250;

/**
 * Sends behind a refused post are refused for as long (G4).
 * @param characters of the text
 * @param nowMs monotonic
 * @throws AppError rate_limited
 */
export function takeFanOut(author: UserState, members: number, characters: number, nowMs: number): void {
  const bytes = members * (characters + FRAME_BYTES);
  if (bytes <= FREE_BYTES) return;
  const bucket = (author.fanOut ??= new TokenBucket(FAN_OUT, nowMs));
  // The bucket never holds more than a burst: a larger post uses all of it.
  const needed = Math.min(bytes, FAN_OUT.burst);
  if (bucket.take(needed, nowMs)) return;
  const retryAfterMs = Math.max(REFUSAL_MS_MIN, Math.ceil(bucket.msUntil(needed)));
  author.sendRefusedUntil = nowMs + retryAfterMs;
  throw new AppError(
    "rate_limited",
    `posts to groups of this size exceed your rate; send again in ${retryAfterMs} ms`,
    { retryAfterMs },
  );
}
