import type { Steps } from "../../base/steps.ts";
import { nameOf } from "../../domain/address.ts";
import type { Group } from "../../protocol/http-shapes.ts";
import { mustBeMember } from "../authorization.ts";
import type { GroupState } from "../state/group-state.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import type { Shard } from "../shard.ts";

/** @throws AppError unknown_address or not_a_member */
export function* answerGroup(shard: Shard, { group, viewer }: Questions["group"]): Steps<Answers["group"]> {
  return describeGroup(mustBeMember(yield* shard.groups.steps(group), group, viewer));
}

export function describeGroup(group: GroupState): Group {
  return {
    id: nameOf(group.address),
    name: group.name,
    createdAt: group.createdAt,
    head: { epoch: group.epoch, seq: group.headSeq },
    members: [...group.members].map(([user, { role }]) => ({ user, role })),
    ...(group.keepDays > 0 ? { keepDays: group.keepDays } : {}),
  };
}
