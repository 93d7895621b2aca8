/** How much a user may store: bytes of text that the user wrote in all conversations, and that are not erased. */
import { AppError } from "../../base/errors.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";

const REFUSAL_MS_MIN = 250;

/**
 * Messages on their way to the disk count. Until the number is known nothing is refused; the first message after a load
 * of the user begins the count. A refusal lasts for at least a moment, so that after an erasure no frame ends up before
 * those that were refused (G4).
 * @throws AppError quota_exceeded for a user who stores as much as the quota, or more
 */
export function mustHaveRoom(shard: Shard, user: UserState, bytesMax: number, nowMs: number): void {
  const { storedBytes } = user;
  const isTooMuch = storedBytes !== undefined && storedBytes >= bytesMax;
  // Also counted anew when refused: the user's shard may not have heard of an erasure.
  if (storedBytes === undefined || isTooMuch) shard.storedCounts.begin(shard, user);
  if (storedBytes === undefined) return;
  if (isTooMuch) user.quotaRefusedUntil = nowMs + REFUSAL_MS_MIN;
  if (nowMs >= user.quotaRefusedUntil) return;
  const detail = `your messages have ${storedBytes} bytes of text, the most is ${bytesMax}`;
  throw new AppError("quota_exceeded", `${detail}; erase some, or wait until old ones expire`);
}
