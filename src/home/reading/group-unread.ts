/**
 * How many messages of others in a group a member has not read. Counted in the log, since each reader has written some
 * of the messages.
 *
 * A long pass is kept, and the next count continues where it ended. Example: a member wrote thousands of messages and
 * has read none; the first count passes over them, the second does not. Short passes are not kept.
 */
import type { Steps } from "../../base/steps.ts";
import type { UserId } from "../../domain/address.ts";
import { authorOf, POSTED_LANE } from "../../domain/entries.ts";
import type { GroupState } from "../state/group-state.ts";
import { retainedFrom } from "../erasing/retention.ts";
import type { Seq } from "../../../storage/types.ts";

/** Counting stops here. */
export const GROUP_UNREAD_MAX = 100;
const PAGE = 100;
const PAGES_PER_STEP = 2;
/** Passes over fewer entries are not kept. */
const KEPT_FROM = 500;

/**
 * `others`: seqs of messages of others in `(from, through]`, at most `GROUP_UNREAD_MAX`. `erasures`: of the group, at
 * the time of the pass.
 */
type Pass = { from: Seq; through: Seq; others: Seq[]; erasures: number };

export class GroupUnread {
  readonly #passes = new WeakMap<GroupState, Map<UserId, Pass>>();

  /**
   * @param cost counts the entries that are looked at
   * @param read how far `member` has read, or where they joined, if that is later
   * @returns `GROUP_UNREAD_MAX` if there are as many or more
   */
  *count(group: GroupState, member: UserId, read: Seq, cost: { looked: number }): Steps<number> {
    const { log, address, bornSeq } = group;
    const from = Math.max(read, retainedFrom(log, address), bornSeq - 1) as Seq;
    const pass = this.#resumed(group, member, from);
    for (let pages = 1; pass.others.length < GROUP_UNREAD_MAX; pages++) {
      const page = log.readLaneForward(address, POSTED_LANE, pass.through, PAGE);
      cost.looked += page.length;
      for (const stored of page) {
        if (pass.others.length === GROUP_UNREAD_MAX) break;
        const author = authorOf(stored);
        if (author !== undefined && author !== member) pass.others.push(stored.seq);
        pass.through = stored.seq;
      }
      if (page.length < PAGE) break;
      if (pages % PAGES_PER_STEP === 0) yield;
    }
    this.#keep(group, member, pass);
    return pass.others.length;
  }

  /** A copy: another count may run between two steps. */
  #resumed(group: GroupState, member: UserId, from: Seq): Pass {
    const { erasures } = group;
    const kept = this.#passes.get(group)?.get(member);
    if (kept === undefined || kept.erasures !== erasures || kept.from > from || kept.through <= from)
      return { from, through: from, others: [], erasures };
    return { ...kept, others: kept.others.filter((seq) => seq > from) };
  }

  #keep(group: GroupState, member: UserId, pass: Pass): void {
    if (pass.through - pass.from < KEPT_FROM || pass.erasures !== group.erasures) return;
    let ofGroup = this.#passes.get(group);
    if (ofGroup === undefined) this.#passes.set(group, (ofGroup = new Map()));
    ofGroup.set(member, pass);
  }
}
