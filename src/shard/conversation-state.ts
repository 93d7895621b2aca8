/**
 * One conversation as it stands in a user's timeline: with another user, with oneself, or the membership in a group.
 * Seqs are of the owner's timeline unless said otherwise. The fold of entries and mark cells; nothing here is durable by itself.
 */
import { isGroup, type Address } from "../domain/address.ts";
import { partsOfRank, rankOfTime } from "../domain/rank.ts";
import type { Seq } from "../../storage/types.ts";
import { CellReader, encodeCell } from "./cells.ts";

const ZERO = 0 as Seq;

/** What stands before the conversation in the keys of its cells (cells.ts). */
const CELL_KINDS = ["conv", "read", "asked", "gone", "delivered", "seen"] as const;
export type ConversationCell = (typeof CELL_KINDS)[number];

export const isConversationCell = (kind: string): kind is ConversationCell =>
  (CELL_KINDS as readonly string[]).includes(kind);

export class ConversationState {
  readonly address: Address;
  lastSeq = ZERO;
  /** Rank of the last message, for the order of lists. Of a group the group knows it. */
  lastRank = 0;
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
  /** Groups: somebody else put the user in. Set when the membership is numbered: its place is taken from then on. */
  isPutIn = false;
  /** Groups: the membership that the user made their own by posting, as its seq of the group's log. */
  askedSeq = ZERO;

  /** How far the owner has read (a group: in the group's numbering), and how many incoming messages that covers. */
  ownRead = ZERO;
  incomingRead = 0;
  /** A group: how far a device of the owner has its log, as far as one has said since this was loaded. Shown to nobody, so not stored. */
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

  /** What the refs of posts to this group are kept with (post-group.ts): made once a membership. */
  postedRefValue: Uint8Array | undefined = undefined;
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

  /** Groups: a membership, durable or on its way, that the user neither asked for nor made their own. */
  get isUnasked(): boolean {
    return this.isPutIn && this.askedSeq < this.takenThroughPending;
  }

  derivedCell(): Uint8Array {
    const { lastSeq, lastRank, incoming, takenThrough, takenSeq, joinedSeq, isPutIn } = this;
    if (joinedSeq > 0) return encodeCell(lastSeq, joinedSeq, 0, isPutIn ? 1 : 0);
    if (isGroup(this.address)) return encodeCell(lastSeq, 0, takenThrough);
    const { ms, count } = partsOfRank(lastRank);
    return encodeCell(lastSeq, ms, takenThrough, incoming, incoming === 0 ? 0 : lastSeq - takenSeq, count);
  }

  /** Takes a cell of which this is the conversation. @returns the mark counter that stands in it, otherwise 0 */
  loadCell(kind: ConversationCell, cell: Uint8Array): number {
    const fields = new CellReader(cell);
    switch (kind) {
      case "conv":
        this.#loadDerived(fields);
        return 0;
      case "read":
        this.ownRead = this.ownReadPending = fields.number() as Seq;
        this.incomingRead = this.incomingReadPending = fields.number();
        return 0;
      case "asked":
        this.askedSeq = fields.number() as Seq;
        return 0;
      case "gone":
        this.goneSeq = fields.number() as Seq;
        this.goneIncoming = fields.number();
        return 0;
      case "delivered":
        this.delivered = this.deliveredPending = fields.number() as Seq;
        return (this.deliveredMark = fields.number());
      case "seen":
        this.seen = this.seenPending = fields.number() as Seq;
        return (this.seenMark = fields.number());
    }
  }

  #loadDerived(fields: CellReader): void {
    this.lastSeq = fields.number() as Seq;
    if (isGroup(this.address)) {
      this.joinedSeq = fields.number() as Seq;
      this.takenThrough = (fields.number() || this.joinedSeq) as Seq;
      this.isPutIn = this.joinedSeq > 0 && fields.number() === 1;
    } else {
      this.lastRank = rankOfTime(fields.number());
      this.takenThrough = fields.number() as Seq;
      this.incoming = this.incomingPending = fields.number();
      const behind = fields.number();
      this.takenSeq = (this.incoming === 0 ? 0 : this.lastSeq - behind) as Seq;
      this.lastRank += fields.number();
    }
    this.takenThroughPending = this.takenThrough;
  }
}
