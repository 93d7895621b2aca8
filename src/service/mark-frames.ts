/** `received` and `read` from a device that is connected. */
import type { Steps } from "../base/steps.ts";
import { isGroup, nameOf, type Address, type UserId } from "../domain/address.ts";
import type { ReadFrame, ReceivedFrame } from "../protocol/frames.ts";
import { stepsUnlessDamaged } from "../shard/damage.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { UserState } from "../shard/user-state.ts";
import type { Seq } from "../../storage/types.ts";

/** The state that a mark changes beside the user's own, when it has to be loaded. What the user has no conversation with is refused without. */
export function whatMarkNeeds(
  { users, groups }: ShardHost,
  { conversations }: UserState,
  { t, conversation }: ReceivedFrame | ReadFrame,
): Steps<unknown> | undefined {
  const address = conversation as Address | undefined;
  if (address === undefined || !conversations.has(address)) return undefined;
  if (isGroup(address))
    return groups.peek(address) === undefined ? stepsUnlessDamaged(groups.steps(address)) : undefined;
  const peer = nameOf(address) as UserId;
  return t === "read" && users.peek(peer) === undefined ? stepsUnlessDamaged(users.steps(peer)) : undefined;
}

export function actOnMark(host: ShardHost, user: UserState, frame: ReceivedFrame | ReadFrame): void {
  const seq = frame.seq as Seq;
  const address = frame.conversation as Address | undefined;
  if (frame.t === "read") return host.marks.read(user, address!, seq);
  if (address === undefined || !isGroup(address)) return host.marks.received(user, seq);
  host.marks.receivedIn(user, address, seq);
}
