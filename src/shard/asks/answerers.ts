/** Who answers which ask, at the shard that is asked. */
import type { Steps } from "../../base/steps.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import type { Shard } from "../shard.ts";
import { answerPosted } from "./answer-posted.ts";
import { answerUser } from "./answer-user.ts";

export type Answerers = {
  readonly [Kind in keyof Questions]: (shard: Shard, question: Questions[Kind]) => Steps<Answers[Kind]>;
};

export const ANSWERERS: Answerers = {
  posted: answerPosted,
  user: answerUser,
};
