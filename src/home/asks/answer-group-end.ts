import type { Steps } from "../../base/steps.ts";
import type { Seq } from "../../../storage/types.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import type { Shard } from "../shard.ts";

/**
 * The end of the group's log, including entries on their way to it. A group that is not loaded has none on their way,
 * so it is not loaded for this.
 */
export function* answerGroupEnd(shard: Shard, { group }: Questions["groupEnd"]): Steps<Answers["groupEnd"]> {
  if (shard.groups.peek(group) === undefined) yield;
  const log = shard.logFor(group);
  const loaded = shard.groups.peek(group);
  if (loaded !== undefined) return { through: (loaded.nextSeq - 1) as Seq };
  const head = log.head(group);
  return head && { through: head.headSeq };
}
