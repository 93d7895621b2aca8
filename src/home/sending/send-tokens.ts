/** How much a user may write: rates, and the refusals beyond them. */
import { AppError } from "../../base/errors.ts";
import { REFUSALS } from "../refusals.ts";
import type { Limits } from "../../protocol/frames.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";

const REFUSAL_MS_MIN = 250;

/**
 * Token bucket per user: a message costs one token, a change of a group one for each entry that it may cause, even if
 * it causes fewer. A refusal, for lack of tokens or because writes are refused, lasts for at least a moment, so that
 * frames already on their way do not end up before the refused ones (G4).
 * @returns the monotonic time, ms
 * @throws AppError rate_limited, or unavailable while writes are refused
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
  sender.sendTokens = sendTokensAt(limits, sender, now);
  sender.sendTokensAt = now;
  // The bucket never holds more than a burst: a larger change uses all of it.
  const needed = Math.min(count, limits.sendsBurst);
  if (sender.sendTokens < needed) return false;
  sender.sendTokens -= needed;
  return true;
}

function sendTokensAt(
  { sendsPerSecond, sendsBurst }: Limits,
  { sendTokens, sendTokensAt }: UserState,
  now: number,
): number {
  return Math.min(sendsBurst, sendTokens + ((now - sendTokensAt) / 1000) * sendsPerSecond);
}

/** Whether the user may send as much as after a load, so that leaving memory brings nobody more. */
export function hasAllSendTokens({ limits, clock }: Shard, user: UserState): boolean {
  const now = clock.monotonicMs();
  const isRefused = now < user.sendRefusedUntil || now < user.quotaRefusedUntil;
  return !isRefused && sendTokensAt(limits, user, now) >= limits.sendsBurst && user.fanOut?.isFull(now) !== false;
}
