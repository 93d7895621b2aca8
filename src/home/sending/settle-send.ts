/** Tells all callers that wait for a send its result. */
import { AppError } from "../../base/errors.ts";
import type { PendingSend, SendReply, Sent } from "./pending-send.ts";
import type { UserState } from "../state/user-state.ts";

/** A pending send of `sender`, usually the oldest, is durable. @param isRepeat whether it was durable before */
export function settle(sender: UserState, send: PendingSend, reply: SendReply, sent: Sent, isRepeat = false): void {
  const { pendingSends } = sender;
  if (pendingSends[0] === send) pendingSends.shift();
  else pendingSends.splice(pendingSends.indexOf(send), 1);
  sender.bytesOnTheWay -= send.textBytes;
  reply.sent(sent, isRepeat);
  if (send.repeats !== undefined) for (const repeat of send.repeats) repeat.sent(sent, true);
}

export function refuseAll(send: PendingSend, reply: SendReply, error: AppError): void {
  reply.refused(send.ref, error);
  for (const repeat of send.repeats ?? []) repeat.refused(send.ref, error);
}

/** After a failed write it is unknown whether the message is on disk; sending with the same ref will tell. */
export function unknownFate(cause: Error): AppError {
  return new AppError("unavailable", "the log could not be written; send again with the same ref and retry", {
    cause,
    retryAfterMs: 2000,
  });
}
