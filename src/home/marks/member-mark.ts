/** A member's marks in a small group's log, told to the authors of the messages that they cover. */
import type { UserId } from "../../domain/address.ts";
import { authorOf, POSTED_LANE } from "../../domain/entries.ts";
import { receiptFrame } from "../../protocol/encode.ts";
import type { ReceiptKind } from "../../protocol/frames.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import type { Seq } from "../../../storage/types.ts";
import { foldMemberDelivered, foldMemberSeen } from "../fold/group-cells.ts";
import type { GroupState } from "../state/group-state.ts";
import type { MarkRecord } from "./mark-records.ts";
import type { HandoffOutcome, MemberMarkHandoff } from "../messages/handoff.ts";
import type { ShardRouter } from "../messages/shard-router.ts";

const AUTHORS_TOLD_MAX = 500;

export class MemberMark implements MarkRecord {
  readonly #router: ShardRouter;
  readonly #group: GroupState;
  readonly #user: UserId;
  #delivered = 0 as Seq;
  #seen = 0 as Seq;
  readonly #deliveredBefore: Seq;
  readonly #seenBefore: Seq;
  /** The newest marks that were handed over. */
  #outcome: HandoffOutcome | undefined;
  #handedDelivered = 0 as Seq;
  #handedRead = 0 as Seq;

  /** Created before the marks that it is to say are pending. */
  constructor(router: ShardRouter, group: GroupState, user: UserId) {
    this.#router = router;
    this.#group = group;
    this.#user = user;
    const marks = group.marksOf(user);
    group.pendingMarks++;
    marks.gathered = this;
    this.#deliveredBefore = marks.deliveredPending;
    this.#seenBefore = marks.seenPending;
  }

  get log(): ShardLog {
    return this.#group.log;
  }

  /** Says the handoff's marks. The handoff is confirmed when they are durable. */
  take({ delivered, read }: MemberMarkHandoff, outcome: HandoffOutcome): void {
    this.#outcome = outcome;
    if (delivered > this.#handedDelivered) this.#handedDelivered = delivered;
    if (read > this.#handedRead) this.#handedRead = read;
  }

  encode(): void {
    const { log, handle } = this.#group;
    const user = this.#user;
    const marks = this.#group.marksOf(user);
    marks.gathered = undefined;
    this.#delivered = marks.deliveredPending;
    this.#seen = marks.seenPending;
    if (this.#delivered > marks.delivered) log.putNumbers(handle, `delivered/${user}`, this.#delivered);
    if (this.#seen > marks.seen) log.putNumbers(handle, `seen/${user}`, this.#seen);
  }

  appended(): void {
    this.#outcome?.appended?.(this.#handedDelivered, this.#handedRead);
  }

  dropped(error: unknown): void {
    const group = this.#group;
    const marks = group.marksOf(this.#user);
    marks.gathered = undefined;
    // Marks of a former life of the group do not count.
    marks.deliveredPending = this.#deliveredBefore < group.bornSeq ? marks.delivered : this.#deliveredBefore;
    marks.seenPending = this.#seenBefore < group.bornSeq ? marks.seen : this.#seenBefore;
    group.pendingMarks--;
    this.#outcome?.notTaken(error);
  }

  committed(): void {
    const marks = this.#group.marksOf(this.#user);
    this.#group.pendingMarks--;
    const { delivered, seen } = marks;
    foldMemberDelivered(marks, this.#delivered);
    foldMemberSeen(marks, this.#seen);
    if (this.#delivered > delivered) this.#tellAuthors("delivered", delivered, this.#delivered);
    if (this.#seen > seen) this.#tellAuthors("read", seen, this.#seen);
    this.#outcome?.confirmed(this.#handedDelivered, this.#handedRead);
  }

  failed(error: Error): void {
    this.#outcome?.notTaken(error);
  }

  /** Only authors who are members are told: a former member sees nothing of the group. */
  #tellAuthors(kind: ReceiptKind, after: Seq, through: Seq): void {
    const group = this.#group;
    const reader = this.#user;
    // Most marks come while no other member is connected; then nothing has to be read.
    if (!group.members.has(reader) || !this.#router.mayReach(group.members.keys(), reader)) return;
    const newest = new Map<UserId, Seq>();
    const from = Math.max(after, through - AUTHORS_TOLD_MAX, group.bornSeq - 1) as Seq;
    for (const stored of group.log.readLaneForward(group.address, POSTED_LANE, from, through - from)) {
      if (stored.seq > through) break;
      const author = authorOf(stored);
      if (author !== undefined && author !== reader && group.members.has(author)) newest.set(author, stored.seq);
    }
    for (const [author, seq] of newest) {
      const frame = receiptFrame(kind, group.address, reader, seq);
      this.#router.cast({ kind: "notice", users: [author], frame });
    }
  }
}
