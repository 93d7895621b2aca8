/**
 * The last changes of membership in a group's log that the users' shards may not know yet: those that are not confirmed
 * (handoff-ledger.ts). The users' shards know all earlier ones.
 */
import type { Steps } from "../../base/steps.ts";
import type { UserId } from "../../domain/address.ts";
import { CHANGED_LANE, readGroupEntry, type GroupChangeDetail } from "../../domain/entries.ts";
import type { Seq } from "../../../storage/types.ts";
import type { Viewer } from "../authorization.ts";
import type { GroupState } from "../state/group-state.ts";
import type { Shard } from "../shard.ts";

const PAGE = 8;

/** Users whom a change adds. */
export function joinedBy(detail: GroupChangeDetail): UserId[] {
  if (detail.change === "created") return detail.members ?? [];
  return detail.change === "joined" ? [detail.user!] : [];
}

export function leftBy(detail: GroupChangeDetail): UserId[] {
  if (detail.change === "dissolved") return detail.members ?? [];
  return detail.change === "left" ? [detail.user!] : [];
}

/** For each user, the last change that is not known to be confirmed. */
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

/** Seq of the user's last change of membership. @param viewer the user, with what their timeline knows */
export function* lastMembershipChange(
  shard: Shard,
  group: GroupState,
  { user, knownThrough }: Pick<Viewer, "user" | "knownThrough">,
): Steps<Seq> {
  const changes = yield* unconfirmedChanges(shard, group);
  return Math.max(knownThrough, changes.get(user) ?? 0) as Seq;
}
