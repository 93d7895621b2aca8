/** `received` and `read` from a connected device. */
import type { Steps } from "../../base/steps.ts";
import { isGroup, type Address } from "../../domain/address.ts";
import type { ReadFrame, ReceivedFrame } from "../../protocol/frames.ts";
import { stepsUnlessDamaged } from "../damage.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import type { Seq } from "../../../storage/types.ts";

/**
 * Steps that load the group of a mark, if it is not in memory. An address without a conversation is refused without
 * loading.
 */
export function whatMarkNeeds(
  { mirrors }: Shard,
  { conversations }: UserState,
  { conversation: address }: ReceivedFrame | ReadFrame,
): Steps<unknown> | undefined {
  const group = address as Address | undefined;
  if (group === undefined || !isGroup(group)) return undefined;
  const conversation = conversations.get(group);
  if (conversation === undefined || mirrors.peek(group, conversation.shard) !== undefined) return undefined;
  return stepsUnlessDamaged(mirrors.steps(group, conversation.shard));
}

export function actOnMark({ marks }: Shard, user: UserState, frame: ReceivedFrame | ReadFrame): void {
  const seq = frame.seq as Seq;
  const address = frame.conversation as Address | undefined;
  if (frame.t === "read") return marks.read(user, address!, seq);
  if (address === undefined || !isGroup(address)) return marks.received(user, seq);
  marks.receivedIn(user, address, seq);
}
