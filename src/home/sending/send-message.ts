/** The checks before a message is numbered: permissions, rates and repeats. The same for sockets and HTTP. */
import { AppError } from "../../base/errors.ts";
import { answered, type Steps } from "../../base/steps.ts";
import { isGroup, shardOf, type UserAddress } from "../../domain/address.ts";
import type { Answers } from "../messages/ask.ts";
import type { SendReply, SendRequest } from "./pending-send.ts";
import { postGroup } from "./post-group.ts";
import { answeredAsPosted, findRepeat, type PostedBefore } from "./repeats.ts";
import { sendDirect } from "./send-direct.ts";
import type { Shard } from "../shard.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import type { UserState } from "../state/user-state.ts";
import { takeFanOut } from "./fan-out.ts";
import { isLoaded } from "../reading/loading.ts";
import { refusalOf } from "../refusal-of.ts";
import { takeSendTokens } from "./send-tokens.ts";
import { mustHaveRoom } from "./stored-quota.ts";

/**
 * Numbers the message or refuses it at once; `reply` gets the result when the message is durable. Never throws an
 * `AppError`.
 * @returns steps, if something has to be asked or loaded first; they then number or refuse the message. Later frames of
 * the same device wait for them (G4).
 */
export function sendMessage(
  shard: Shard,
  sender: UserState,
  request: SendRequest,
  reply: SendReply,
): Steps<void> | undefined {
  try {
    mustBeReadable(shard);
    const repeat = findRepeat(shard, sender, request, reply);
    if (repeat === "answered") return undefined;
    if (typeof repeat === "object") return inMemory(sender, repeatOrSend(shard, sender, request, repeat, reply));
    const mayRepeat = repeat === "ask the group";
    const nowMs = pay(shard, sender, request);
    const conversation = sender.conversations.get(request.to);
    const missing = whatIsMissing(shard, sender, request, conversation);
    if (missing !== undefined) return inMemory(sender, sendLater(shard, sender, request, missing, mayRepeat, reply));
    number(shard, sender, request, conversation, mayRepeat, reply, nowMs);
  } catch (error) {
    refuse(shard, sender, request, reply, error);
  }
  return undefined;
}

/** Keeps the sender in memory meanwhile: it also knows what was refused, so that later sends do not overtake that (G4). */
function inMemory(sender: UserState, steps: Steps<void>): Steps<void> {
  sender.waitingSends++;
  return untilDone(sender, steps);
}

function* untilDone(sender: UserState, steps: Steps<void>): Steps<void> {
  try {
    yield* steps;
  } finally {
    sender.waitingSends--;
  }
}

/**
 * Called before the receiver is looked up: probing for addresses costs as much as writing to them. @returns monotonic
 * time, ms
 */
function pay(shard: Shard, sender: UserState, { to }: SendRequest): number {
  const nowMs = takeSendTokens(shard, sender, 1);
  sender.refusedAddresses.mustNotBe(to, nowMs);
  const { storedBytesMax } = shard.limits;
  if (storedBytesMax !== undefined) mustHaveRoom(shard, sender, storedBytesMax, nowMs);
  return nowMs;
}

/** The ref was posted to a group, whose shard knows the text. */
function* repeatOrSend(
  shard: Shard,
  sender: UserState,
  request: SendRequest,
  before: PostedBefore,
  reply: SendReply,
): Steps<void> {
  try {
    if (yield* answeredAsPosted(shard, sender, request, before, reply)) return;
    pay(shard, sender, request);
  } catch (error) {
    return refuse(shard, sender, request, reply, error);
  }
  const missing = whatIsMissing(shard, sender, request, sender.conversations.get(request.to));
  yield* sendLater(shard, sender, request, missing, true, reply);
}

/** The message is paid for. Another device may have sent it meanwhile. */
function* sendLater(
  shard: Shard,
  sender: UserState,
  request: SendRequest,
  missing: Steps<unknown> | undefined,
  mayRepeat: boolean,
  reply: SendReply,
): Steps<void> {
  try {
    if (missing !== undefined) yield* missing;
    if (!isLoaded(shard, sender))
      throw new AppError("unavailable", "could not be accepted now; send it again", { retryAfterMs: 1000 });
    mustBeReadable(shard);
    const repeat = findRepeat(shard, sender, request, reply);
    if (repeat === "answered") return;
    if (typeof repeat === "object" && (yield* answeredAsPosted(shard, sender, request, repeat, reply))) return;
    shard.mustAcceptWrites();
    const conversation = sender.conversations.get(request.to);
    number(shard, sender, request, conversation, mayRepeat || repeat !== "new", reply, shard.clock.monotonicMs());
  } catch (error) {
    refuse(shard, sender, request, reply, error);
  }
}

/**
 * Called before a ref is looked up: after a failure of the log it is unknown what is durable until the log is
 * recovered.
 */
function mustBeReadable(shard: Shard): void {
  if (shard.log.failure !== undefined) throw shard.refusals.error(shard.refusal ?? "log failed");
}

/**
 * Undefined if the message can be numbered in this turn: the receiver exists, or the group is in memory.
 * @throws AppError unknown_address for a user who does not exist
 */
function whatIsMissing(
  shard: Shard,
  sender: UserState,
  { to }: SendRequest,
  conversation: ConversationState | undefined,
): Steps<unknown> | undefined {
  if (to === sender.address) return undefined;
  if (isGroup(to)) {
    const group = shard.mirrors.peek(to, conversation?.shard ?? shardOf(to));
    return group === undefined ? shard.mirrors.steps(to) : undefined;
  }
  // Users are never removed.
  if (conversation !== undefined && conversation.lastSeq > 0) return undefined;
  const found = shard.router.ask("user", to, { user: to });
  if (found instanceof Promise) return receiverLater(to, found);
  mustExist(to, found);
  return undefined;
}

function* receiverLater(to: UserAddress, asked: Promise<Answers["user"]>): Steps<void> {
  mustExist(to, yield* answered(asked));
}

function mustExist(to: UserAddress, found: Answers["user"]): void {
  if (found === undefined) throw new AppError("unknown_address", `${to}: there is no such user`);
}

function number(
  shard: Shard,
  sender: UserState,
  request: SendRequest,
  conversation: ConversationState | undefined,
  mayRepeat: boolean,
  reply: SendReply,
  nowMs: number,
): void {
  const { to, ref, text } = request;
  if (isGroup(to)) {
    const groupShard = conversation?.shard ?? shardOf(to);
    const members = shard.mirrors.peek(to, groupShard)?.memberCount ?? 0;
    takeFanOut(sender, members, text.length, nowMs);
    postGroup(shard, sender, to, groupShard, conversation, request, reply, mayRepeat);
  } else sendDirect(shard, sender, conversation ?? sender.conversation(to), request, reply);
  sender.recentRefs.note(ref, nowMs);
}

function refuse(shard: Shard, sender: UserState, { ref, to }: SendRequest, reply: SendReply, error: unknown): void {
  const refusal = refusalOf(error);
  if (refusal === undefined) throw error;
  sender.refusedAddresses.note(to, refusal, shard.clock.monotonicMs());
  reply.refused(ref, refusal);
}
