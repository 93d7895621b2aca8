/** Who may send what to whom: the checks before a message is numbered. The same for sockets and HTTP. */
import { AppError } from "../base/errors.ts";
import type { Steps } from "../base/steps.ts";
import { isGroup, nameOf, type Address, type GroupAddress, type UserAddress, type UserId } from "../domain/address.ts";
import type { GroupState } from "../shard/group-state.ts";
import type { SendReply, SendRequest } from "../shard/pending-send.ts";
import { postGroup } from "../shard/post-group.ts";
import { answeredAsRepeat } from "../shard/repeats.ts";
import { sendDirect } from "../shard/send-direct.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { UserState } from "../shard/user-state.ts";
import { takeFanOut } from "./fan-out.ts";
import { isLoaded } from "./loading.ts";
import { mustBeIn, unknownGroup } from "./membership.ts";
import { refusalOf } from "./refusal-of.ts";
import { takeSendTokens } from "./send-tokens.ts";
import { mustHaveRoom } from "./stored-quota.ts";

/**
 * Numbers the message or refuses it, at once; `reply` hears of it when it is durable. Never throws an `AppError`.
 * @returns when the receiver has to be loaded first: steps that do so and then number or refuse it. What the same device sends behind it waits for them (G4).
 */
export function sendMessage(
  host: ShardHost,
  sender: UserState,
  request: SendRequest,
  reply: SendReply,
): Steps<void> | undefined {
  try {
    mustBeReadable(host);
    if (answeredAsRepeat(host, sender, request, reply)) return undefined;
    // Before the receiver is looked for: who asks which addresses there are pays as if they were written to.
    const nowMs = takeSendTokens(host, sender, 1);
    const { storedBytesMax } = host.limits;
    if (storedBytesMax !== undefined) mustHaveRoom(host, sender, storedBytesMax, nowMs);
    const receiver = loadedReceiver(host, sender, request.to);
    if (receiver === undefined) return sendLater(host, sender, request, reply);
    number(host, sender, receiver, request, reply, nowMs);
  } catch (error) {
    refuse(request, reply, error);
  }
  return undefined;
}

/** The message is paid for. Another device may have sent it meanwhile. */
function* sendLater(host: ShardHost, sender: UserState, request: SendRequest, reply: SendReply): Steps<void> {
  try {
    const receiver = yield* receiverSteps(host, request.to);
    if (!isLoaded(host, sender))
      throw new AppError("unavailable", "could not be taken now; send it again", { retryAfterMs: 1000 });
    mustBeReadable(host);
    if (answeredAsRepeat(host, sender, request, reply)) return;
    host.mustTakeWrites();
    number(host, sender, receiver, request, reply, host.clock.monotonicMs());
  } catch (error) {
    refuse(request, reply, error);
  }
}

/** Before a ref is looked up: among what failed, nothing can be told apart until the log is recovered. */
function mustBeReadable(host: ShardHost): void {
  if (host.store.failed !== undefined) throw host.refusals.error(host.refusal ?? "log failed");
}

type Receiver = UserState | GroupState;

function loadedReceiver(host: ShardHost, sender: UserState, to: Address): Receiver | undefined {
  if (to === sender.address) return sender;
  return isGroup(to) ? host.groups.peek(to) : host.users.peek(nameOf(to) as UserId);
}

function* receiverSteps(host: ShardHost, to: Address): Steps<Receiver | undefined> {
  return isGroup(to) ? yield* host.groups.steps(to) : yield* host.users.steps(nameOf(to) as UserId);
}

function number(
  host: ShardHost,
  sender: UserState,
  receiver: Receiver | undefined,
  request: SendRequest,
  reply: SendReply,
  nowMs: number,
): void {
  const { to } = request;
  if (isGroup(to)) {
    const group = openGroup(receiver as GroupState | undefined, sender, to);
    takeFanOut(sender, group.members.size, request.text.length, nowMs);
    postGroup(host, sender, group, request, reply);
  } else sendDirect(host, sender, existing(receiver as UserState | undefined, to), request, reply);
  sender.recentRefs.note(request.ref, nowMs);
}

function refuse({ ref }: SendRequest, reply: SendReply, error: unknown): void {
  const refusal = refusalOf(error);
  if (refusal === undefined) throw error;
  reply.refused(ref, refusal);
}

function existing(receiver: UserState | undefined, to: UserAddress): UserState {
  if (receiver === undefined) throw new AppError("unknown_address", `${to}: there is no such user`);
  return receiver;
}

function openGroup(found: GroupState | undefined, sender: UserState, to: GroupAddress): GroupState {
  const group = mustBeIn(found, sender, to);
  if (group.isEnding) throw unknownGroup(to);
  if (group.leaving.has(sender.user)) throw new AppError("not_a_member", `${to}: you are not in it`);
  return group;
}
