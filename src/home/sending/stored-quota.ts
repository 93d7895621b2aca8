/** How much a user may store: bytes of text that the user wrote, to whomever, and that are not erased. */
import { AppError } from "../../base/errors.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";

const REFUSAL_MS_MIN = 250;

/**
 * Messages on their way to the disk count. Until what the user stores is known nobody is refused; the first message
 * after the user was loaded begins to find it out. Whoever is refused is refused for at least a moment, so that an
 * erasure lets no frame slip in between those that were refused (G4).
 * @throws AppError quota_exceeded for a user who stores as much as the quota, or more
 */
export function mustHaveRoom(shard: Shard, user: UserState, bytesMax: number, nowMs: number): void {
  const { storedBytes } = user;
  const isTooMuch = storedBytes !== undefined && storedBytes >= bytesMax;
  // Also for whoever is refused: of what was erased the user's shard may not have heard.
  if (storedBytes === undefined || isTooMuch) shard.storedCounts.begin(shard, user);
  if (storedBytes === undefined) return;
  if (isTooMuch) user.quotaRefusedUntil = nowMs + REFUSAL_MS_MIN;
  if (nowMs >= user.quotaRefusedUntil) return;
  throw new AppError(
    "quota_exceeded",
    `the messages that you wrote have ${storedBytes} bytes of text, the most is ${bytesMax}; erase some, or wait until old ones go`,
  );
}
