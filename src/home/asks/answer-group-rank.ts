import type { Steps } from "../../base/steps.ts";
import { readGroupEntry } from "../../domain/entries.ts";
import type { Seq } from "../../../storage/types.ts";
import { memberGroup } from "../authorization.ts";
import type { GroupState } from "../state/group-state.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import { rankOf } from "../reading/rank-of.ts";
import type { Shard } from "../shard.ts";

/**
 * Only ranks of the group's present life are told, even if a client makes up a page: those of a former life are
 * private.
 */
export function* answerGroupRank(
  shard: Shard,
  { group, viewer, rank }: Questions["groupRankAsOf"],
): Steps<Answers["groupRankAsOf"]> {
  const cost = { looked: 0 };
  return { rank: groupRankAsOf(yield* memberGroup(shard, group, viewer), rank, cost), looked: cost.looked };
}

/** Searches from the end in steps that double, then by halving. */
function groupRankAsOf(group: GroupState, rank: number, cost: { looked: number }): number {
  const rankAt = (seq: number): number => rankOf(seq, (at) => groupRank(group, at), cost);
  const { bornSeq } = group;
  let above = group.headSeq as number;
  let step = 1;
  while (above - step >= bornSeq && rankAt(above - step) > rank) {
    above -= step;
    step *= 2;
  }
  let below = Math.max(bornSeq - 1, above - step);
  while (above - below > 1) {
    const middle = Math.floor((above + below) / 2);
    if (rankAt(middle) > rank) above = middle;
    else below = middle;
  }
  return below < bornSeq ? 0 : rankAt(below);
}

function groupRank({ log, address }: GroupState, seq: number): number | undefined {
  const [stored] = log.readForward(address, (seq - 1) as Seq, 1);
  const entry = stored && readGroupEntry(stored);
  return entry === undefined || entry.kind === "erased" ? undefined : entry.rank;
}
