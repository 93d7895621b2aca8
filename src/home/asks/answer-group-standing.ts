import type { Steps } from "../../base/steps.ts";
import { stepsUnlessDamaged } from "../damage.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import type { Shard } from "../shard.ts";

/** A damaged group counts as absent, so that its members get everything else. */
export function* answerGroupStanding(
  shard: Shard,
  { group, isWhole }: Questions["groupStanding"],
): Steps<Answers["groupStanding"]> {
  const state =
    shard.groups.peek(group) ?? (isWhole ? yield* stepsUnlessDamaged(shard.groups.steps(group)) : undefined);
  const standing = state ?? shard.heads.of(group);
  if (standing === undefined) return undefined;
  const { epoch, bornSeq, headSeq } = standing;
  const whole = state && { lastRank: state.lastRank, memberCount: state.memberCount };
  return { epoch, bornSeq, headSeq, whole };
}
