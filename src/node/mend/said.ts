/** The latest state that a group's own entries tell: of its present life, and of every user who was ever in it. */
import type { UserId } from "../../domain/address.ts";
import { CHANGED_LANE, readGroupEntry, type GroupChangeDetail } from "../../domain/entries.ts";
import type { Seq } from "../../../storage/types.ts";
import type { GroupState } from "../../home/state/group-state.ts";
import { joinedBy, leftBy } from "../../home/handoffs/last-membership-change.ts";

const PAGE = 1000;

export type Said = { seq: Seq; isIn: boolean; detail: GroupChangeDetail };

export type SaidOfGroup = {
  members: Map<UserId, Said>;
  /** Seq of the last `created`; 0 if there is none. */
  bornSeq: number;
  /** The entry that dissolved it since. */
  dissolved: GroupChangeDetail | undefined;
};

export function saidOf({ log, address }: GroupState): SaidOfGroup {
  const said: SaidOfGroup = { members: new Map(), bornSeq: 0, dissolved: undefined };
  for (let after = 0 as Seq; ;) {
    const page = log.readLaneForward(address, CHANGED_LANE, after, PAGE);
    for (const stored of page) {
      const entry = readGroupEntry(stored);
      if (entry.kind === "changed") apply(said, stored.seq, entry.detail);
    }
    if (page.length < PAGE) return said;
    after = page.at(-1)!.seq;
  }
}

function apply(said: SaidOfGroup, seq: Seq, detail: GroupChangeDetail): void {
  if (detail.change === "created") {
    // The former group of that id had ended, so it has no members.
    for (const one of said.members.values()) one.isIn = false;
    said.bornSeq = seq;
    said.dissolved = undefined;
  }
  for (const user of joinedBy(detail)) said.members.set(user, { seq, isIn: true, detail });
  for (const user of leftBy(detail)) said.members.set(user, { seq, isIn: false, detail });
  if (detail.change === "dissolved") said.dissolved = detail;
}
