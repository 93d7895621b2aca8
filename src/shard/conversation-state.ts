/**
 * One conversation as it stands in a user's timeline: with another user, with oneself, or the membership in a group.
 * Seqs are of the owner's timeline unless said otherwise. The fold of entries and mark cells; nothing here is durable by itself.
 */
import type { Address } from "../domain/address.ts";
import type { Seq } from "../../storage/types.ts";
import { cellNumber, cellText, encodeCell } from "./cells.ts";

const ZERO = 0 as Seq;

export class ConversationState {
  readonly address: Address;
  lastSeq = ZERO;
  /** `sentAt` of the last entry, for sorting lists. */
  lastAt = 0;
  /** Messages from the other side, ever. */
  incoming = 0;
  /** Highest seq of the source's stream that was taken (G8). In the source's numbering. */
  takenThrough = ZERO;
  /** Seq of the entry that took it. */
  takenSeq = ZERO;
  /** Messages from the other side that were erased, which are the first ones there were, and the seq of the last of them. */
  goneIncoming = 0;
  goneSeq = ZERO;
  /** Groups: seq of the group's log at which the user joined; 0 when not a member. In the group's numbering. */
  joinedSeq = ZERO;
  groupEpoch = "";

  /** How far the owner has read (a group: in the group's numbering), and how many incoming messages that covers. */
  ownRead = ZERO;
  incomingRead = 0;
  /** A group: how far a device of the owner has its log. */
  got = ZERO;

  /** What the other side has got and read of what the owner sent, with the mark counter of each. */
  delivered = ZERO;
  deliveredMark = 0;
  seen = ZERO;
  seenMark = 0;

  // ---- numbered but not yet durable
  takenThroughPending = ZERO;
  incomingPending = 0;
  deliveredPending = ZERO;
  seenPending = ZERO;
  isMarkPending = false;
  ownReadPending = ZERO;
  incomingReadPending = 0;
  gotPending = ZERO;

  /** Whether its derived cell has to go with the next flush. */
  isDirty = false;
  /** Key of the cell written for every message delivered: made once. */
  readonly deliveredKey: string;

  constructor(address: Address) {
    this.address = address;
    this.deliveredKey = `delivered/${address}`;
  }

  /** What was erased cannot be read any more. */
  get unread(): number {
    return this.incoming - Math.max(this.incomingRead, this.goneIncoming);
  }

  derivedCell(): Uint8Array {
    const { lastSeq, lastAt, incoming, takenThrough, takenSeq, joinedSeq, groupEpoch } = this;
    return encodeCell([lastSeq, lastAt, incoming, takenThrough, takenSeq, joinedSeq], groupEpoch);
  }

  loadDerived(cell: Uint8Array): void {
    this.lastSeq = cellNumber(cell, 0) as Seq;
    this.lastAt = cellNumber(cell, 1);
    this.incoming = this.incomingPending = cellNumber(cell, 2);
    this.takenThrough = this.takenThroughPending = cellNumber(cell, 3) as Seq;
    this.takenSeq = cellNumber(cell, 4) as Seq;
    this.joinedSeq = cellNumber(cell, 5) as Seq;
    this.groupEpoch = cellText(cell, 6);
  }
}
