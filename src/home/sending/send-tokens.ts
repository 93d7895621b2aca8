/** How much a user may write: rates, and what they hear when it is too much. */
import { AppError } from "../../base/errors.ts";
import { REFUSALS } from "../refusals.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";

const REFUSAL_MS_MIN = 250;

/**
 * Token bucket per user: a message takes one, a change of a group one for each entry that it causes, also when there turns out to be nobody to take it.
 * Whoever is refused, for running out or because nobody may write now, is refused for at least a moment, so that frames already on their way do not slip in
 * between and end up before the refused ones (G4).
 * @returns the monotonic time, ms
 * @throws AppError rate_limited, or unavailable while nobody may write
 */
export function takeSendTokens(shard: Shard, sender: UserState, count: number): number {
  const { sendsPerSecond } = shard.limits;
  const now = shard.clock.monotonicMs();
  if (now >= sender.sendRefusedUntil) {
    sender.refusedFor = shard.refusal;
    if (sender.refusedFor === undefined && hasSendTokens(shard, sender, now, count)) return now;
    sender.sendRefusedUntil =
      now +
      (sender.refusedFor === undefined
        ? Math.max(REFUSAL_MS_MIN, 10_000 / sendsPerSecond)
        : REFUSALS[sender.refusedFor].retryAfterMs);
  }
  const retryAfterMs = Math.ceil(sender.sendRefusedUntil - now);
  if (sender.refusedFor !== undefined) throw shard.refusals.error(sender.refusedFor, retryAfterMs);
  throw new AppError(
    "rate_limited",
    `more than ${sendsPerSecond} messages a second; send again in ${retryAfterMs} ms`,
    { retryAfterMs },
  );
}

function hasSendTokens({ limits }: Shard, sender: UserState, now: number, count: number): boolean {
  const earned = ((now - sender.sendTokensAt) / 1000) * limits.sendsPerSecond;
  sender.sendTokens = Math.min(limits.sendsBurst, sender.sendTokens + earned);
  sender.sendTokensAt = now;
  // More than a burst can never be saved up: such a change takes all of it.
  const needed = Math.min(count, limits.sendsBurst);
  if (sender.sendTokens < needed) return false;
  sender.sendTokens -= needed;
  return true;
}
