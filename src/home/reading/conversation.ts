/**
 * One conversation as a client sees it. Its numbers are computed for each call from what is durable at that moment. So
 * they always include changes of the members, the size of the group and erasures: the table in src/home/README.md.
 */
import { answered, type Steps } from "../../base/steps.ts";
import { isGroup, type Address, type GroupAddress } from "../../domain/address.ts";
import type { Conversation } from "../../protocol/http-shapes.ts";
import { viewerOf } from "../authorization.ts";
import { ConversationState } from "../state/conversation-state.ts";
import type { AnswerSize } from "./answer-size.ts";
import { END, newest, ownLane } from "./lanes.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import type { Seq } from "../../../storage/types.ts";
import { mustKnowUser, payForStrange } from "./addresses.ts";
import { displayName } from "./display-name.ts";

/** @throws AppError unknown_address or not_a_member */
export function* describeConversation(
  shard: Shard,
  user: UserState,
  address: Address,
  messages: number,
  size: AnswerSize,
): Steps<Conversation> {
  payForStrange(shard, user, address);
  if (isGroup(address)) return yield* describeGroup(shard, user, address, messages, size);
  yield* mustKnowUser(shard, user, address);
  const name = yield* displayName(shard, address);
  const { unread, lastSeq, seen, delivered, ownRead } =
    user.conversations.get(address) ?? new ConversationState(address);
  return {
    conversation: address,
    name,
    unread,
    lastSeq,
    readThrough: seen,
    deliveredThrough: delivered,
    ownReadThrough: ownRead,
    messages: newest(ownLane(shard, user, address), END, messages, size).messages,
  };
}

/** Computed at the group's shard. */
function* describeGroup(
  shard: Shard,
  user: UserState,
  address: GroupAddress,
  messages: number,
  size: AnswerSize,
): Steps<Conversation> {
  const { joinedSeq, ownRead } = user.conversations.get(address) ?? new ConversationState(address);
  const read = Math.max(ownRead, joinedSeq) as Seq;
  const question = { group: address, viewer: viewerOf(user, address), read, messages, bytes: size.bytes };
  const view = yield* answered(shard.router.ask("groupView", address, question));
  size.add(view.cost);
  return {
    conversation: address,
    name: view.name,
    unread: view.unread,
    lastSeq: view.headSeq,
    readThrough: view.seen,
    deliveredThrough: view.delivered,
    ownReadThrough: ownRead,
    messages: view.messages,
  };
}
