import { AppError } from "../../base/errors.ts";
import type { Steps } from "../../base/steps.ts";
import { userAddress } from "../../domain/address.ts";
import { assertRoomForGroup } from "../groups/group-quota.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import type { Shard } from "../shard.ts";

/**
 * Room for the membership is not reserved: until the handoff arrives, other groups may be promised the same room. So a
 * user may exceed the limits (group-quota.ts) by the number of memberships that were on their way at that moment. The
 * user is loaded, since the caller is about to hand a membership over.
 *
 * A repeated question is answered anew.
 * @throws AppError unknown_address or quota_exceeded
 */
export function* answerMayJoin(
  shard: Shard,
  { user, group, isOwnDoing }: Questions["mayJoin"],
): Steps<Answers["mayJoin"]> {
  const state = shard.users.peek(user) ?? (yield* shard.users.steps(user));
  if (state === undefined) throw new AppError("unknown_address", `${userAddress(user)}: there is no such user`);
  assertRoomForGroup(state, isOwnDoing);
  return { knownThrough: state.conversations.get(group)?.takenThrough ?? 0 } as Answers["mayJoin"];
}
