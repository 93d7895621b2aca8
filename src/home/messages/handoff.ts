/**
 * Handoffs: what one shard tells another that must not be lost. The list is closed.
 *
 * A handoff is delivered at least once, until its outcome says that it is durable. Handoffs of one conversation name the one before them (`prev`), and the receiver takes
 * only what follows what it has: so a lost, repeated, late or overtaken one is harmless. Where a mark is handed over the highest counts, and no order is needed.
 */
import type { GroupAddress, UserAddress, UserId } from "../../domain/address.ts";
import type { Seq } from "../../../storage/types.ts";

/** A direct message, from the sender's timeline into the receiver's. `id` and `textJson` follow from the rest: whoever asks first works them out. */
export type MessageHandoff = {
  readonly kind: "message";
  readonly from: UserAddress;
  readonly to: UserAddress;
  /** In the sender's timeline. */
  readonly seq: Seq;
  /** Of the message before it in this conversation, 0 for the first. */
  readonly prev: Seq;
  /** Of the sender's timeline. */
  readonly streamNo: number;
  readonly sentAt: number;
  readonly rank: number;
  readonly text: string;
  readonly id: string;
  readonly textJson: string;
};

/** Who posted this: the group's shard tells the author's, which keeps all refs of its users (G2). */
export type PostedHandoff = {
  readonly kind: "posted";
  readonly group: GroupAddress;
  readonly author: UserId;
  readonly ref: string;
  /** In the group's log. */
  readonly seq: Seq;
};

/** Somebody is in a group now, or is not any more: the group's shard tells the user's. */
export type MembershipHandoff = {
  readonly kind: "membership";
  readonly group: GroupAddress;
  readonly user: UserId;
  readonly change: "joined" | "left";
  /** In the group's log. */
  readonly seq: Seq;
  /** Of the change of this user's membership before it, 0 for the first. */
  readonly prev: Seq;
  /** Unix ms */
  readonly at: number;
  readonly isUnasked: boolean;
  /** Of the life of the group that it belongs to; empty for a former life. */
  readonly epoch: string;
};

/** How far the other side has got, or read, what a user sent. Cumulative. */
export type PeerMarkHandoff = {
  readonly kind: "peerMark";
  /** Whose devices have got it. */
  readonly from: UserAddress;
  /** Whose messages they are, and whose numbering `delivered` and `read` are in. 0: nothing is said of it. */
  readonly to: UserAddress;
  readonly delivered: Seq;
  readonly read: Seq;
};

/** How far a member has got, or read, the log of a group. Cumulative. */
export type MemberMarkHandoff = {
  readonly kind: "memberMark";
  readonly user: UserId;
  readonly group: GroupAddress;
  /** Of the life of the group that the seqs are of. */
  readonly epoch: string;
  readonly delivered: Seq;
  readonly read: Seq;
};

export type Handoff = MessageHandoff | PostedHandoff | MembershipHandoff | PeerMarkHandoff | MemberMarkHandoff;

/** Told what became of a handoff: never, once or several times. */
export type HandoffOutcome = {
  /**
   * Whatever of the same conversation and kind was handed over up to this seq is durable at the receiver.
   * @param read of marks, for which `through` is of `delivered`; absent or 0 for all else
   */
  confirmed(through: Seq, read?: Seq): void;
  /**
   * Of marks, by a shard whose log is one order with the sender's (`ShardLog.isOneOrder`): they are appended, so no crash takes them and leaves what is appended from now on.
   * Never told from elsewhere.
   */
  appended?(through: Seq, read: Seq): void;
  /** It does not follow what the receiver has, which is everything up to `through`. */
  missing(through: Seq): void;
  /** The receiver's shard could not take it. It is to be offered again later. */
  notTaken(error: unknown): void;
};
