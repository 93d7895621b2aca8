/**
 * What the log of a group says last of who came and went, where the shards of those users may not know it yet: changes that are not confirmed (handoff-ledger.ts). All
 * that came before is known there.
 */
import type { Steps } from "../../base/steps.ts";
import type { UserId } from "../../domain/address.ts";
import { CHANGED_LANE, readGroupEntry, type GroupChangeDetail } from "../../domain/entries.ts";
import type { Seq } from "../../../storage/types.ts";
import type { Viewer } from "../authorization.ts";
import type { GroupState } from "../state/group-state.ts";
import type { Shard } from "../shard.ts";

const PAGE = 8;

/** Whom a change puts in or takes out. */
export function joinedBy(detail: GroupChangeDetail): UserId[] {
  if (detail.change === "created") return detail.members ?? [];
  return detail.change === "joined" ? [detail.user!] : [];
}

export function leftBy(detail: GroupChangeDetail): UserId[] {
  if (detail.change === "dissolved") return detail.members ?? [];
  return detail.change === "left" ? [detail.user!] : [];
}

/** Of each user who came or went the last change that is not known to be confirmed. */
export function* unconfirmedChanges({ ledger, log }: Shard, group: GroupState): Steps<Map<UserId, Seq>> {
  const found = new Map<UserId, Seq>();
  if (ledger.isEmpty) return found;
  const through = ledger.through(log.durableThrough);
  for (let before = group.nextSeq; ;) {
    const page = log.readLaneBackward(group.address, CHANGED_LANE, before, PAGE).toReversed();
    for (const stored of page) {
      if (stored.offset <= through) return found;
      const entry = readGroupEntry(stored);
      if (entry.kind !== "changed") continue;
      for (const user of [...joinedBy(entry.detail), ...leftBy(entry.detail)])
        if (!found.has(user)) found.set(user, stored.seq);
    }
    const oldest = page[PAGE - 1];
    if (oldest === undefined) return found;
    before = oldest.seq;
    yield;
  }
}

/** Seq of the change by which the user came or went last. @param viewer as far as the user's timeline knows */
export function* lastMembershipChange(
  shard: Shard,
  group: GroupState,
  { user, knownThrough }: Pick<Viewer, "user" | "knownThrough">,
): Steps<Seq> {
  const changes = yield* unconfirmedChanges(shard, group);
  return Math.max(knownThrough, changes.get(user) ?? 0) as Seq;
}
