import { answered, type Steps } from "../../base/steps.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import type { Shard } from "../shard.ts";

/** For the whole node: its files hold entries of many shards. */
export function* answerErasedFromFiles(
  shard: Shard,
  { stream }: Questions["erasedFromFiles"],
): Steps<Answers["erasedFromFiles"]> {
  // Throws if the shard is damaged: then it is unknown.
  shard.logFor(stream);
  return { isGone: yield* answered(shard.erasedFiles.ask()) };
}
