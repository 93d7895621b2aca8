import { answered, type Steps } from "../../base/steps.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import type { Shard } from "../shard.ts";

/** For the whole node: entries of many shards stand in the same files. */
export function* answerErasedFromFiles(
  shard: Shard,
  { stream }: Questions["erasedFromFiles"],
): Steps<Answers["erasedFromFiles"]> {
  // Of what is damaged nobody knows.
  shard.logFor(stream);
  return { isGone: yield* answered(shard.erasedFiles.ask()) };
}
