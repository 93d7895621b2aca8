import type { Steps } from "../../base/steps.ts";
import { postedAt } from "../sending/accept-post.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import type { Shard } from "../shard.ts";

/** No check of membership: the caller has the ref of the post, so it wrote the post. */
export function* answerPosted(shard: Shard, { group, seq }: Questions["posted"]): Steps<Answers["posted"]> {
  const state = shard.groups.peek(group) ?? (yield* shard.groups.steps(group));
  return state && postedAt(shard, state, seq);
}
