import { AppError } from "../../base/errors.ts";
import type { Steps } from "../../base/steps.ts";
import { userAddress } from "../../domain/address.ts";
import { assertRoomForGroup } from "../groups/group-quota.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import type { Shard } from "../shard.ts";

/**
 * The place is not reserved: until the membership is handed over, others may be promised the same one. So a user may come to be in more groups than the limits
 * (group-quota.ts) by as many as were being changed at that moment, and in no more. The user is loaded, since whoever asks is about to hand something over.
 *
 * Asked again it is answered anew.
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
