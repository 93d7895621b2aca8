import type { Steps } from "../../base/steps.ts";
import { memberGroup } from "../authorization.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import { AnswerSize } from "../reading/answer-size.ts";
import { groupLane, pageOf } from "../reading/lanes.ts";
import type { Shard } from "../shard.ts";

export function* answerGroupPage(shard: Shard, question: Questions["groupPage"]): Steps<Answers["groupPage"]> {
  const { group, viewer } = question;
  const lane = groupLane(shard, viewer.user, yield* memberGroup(shard, group, viewer));
  const cost = new AnswerSize();
  return { page: pageOf(lane, question, cost), cost };
}
