/** Who may send what to whom: the checks before a message is numbered. The same for sockets and HTTP. */
import { AppError } from "../base/errors.ts";
import { isGroup, type GroupAddress } from "../domain/address.ts";
import type { SendReply, SendRequest } from "../shard/pending-send.ts";
import { postGroup } from "../shard/post-group.ts";
import { answeredAsRepeat } from "../shard/repeats.ts";
import { receiverOf, sendDirect } from "../shard/send-direct.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import { memberGroup, unknownGroup } from "./membership.ts";
import { refusalOf } from "./refusal-of.ts";
import { takeSendTokens } from "./send-tokens.ts";
import type { UserState } from "../shard/user-state.ts";

/** Numbers the message or refuses it, at once; `reply` hears of it when it is durable. Never throws an `AppError`. */
export function sendMessage(host: ShardHost, sender: UserState, request: SendRequest, reply: SendReply): void {
  try {
    // Before the ref is looked up: among what failed, nothing can be told apart until the log is recovered.
    if (host.store.failed !== undefined) throw host.refusals.error(host.refusal ?? "log failed");
    if (answeredAsRepeat(host, sender, request, reply)) return;
    // Before the receiver is looked for: who asks which addresses there are pays as if they were written to.
    const nowMs = takeSendTokens(host, sender, 1);
    if (isGroup(request.to)) postGroup(host, sender, groupOf(host, sender, request.to), request, reply);
    else sendDirect(host, sender, receiverOf(host, sender, request.to), request, reply);
    sender.recentRefs.note(request.ref, nowMs);
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal === undefined) throw error;
    reply.refused(request.ref, refusal);
  }
}

function groupOf(host: ShardHost, sender: UserState, to: GroupAddress) {
  const group = memberGroup(host, sender, to);
  if (group.isEnding) throw unknownGroup(to);
  if (group.leaving.has(sender.user)) throw new AppError("not_a_member", `${to}: you are not in it`);
  return group;
}
