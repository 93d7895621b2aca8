/**
 * Handoffs: what one shard tells another and must not be lost. The list is closed.
 *
 * A handoff is delivered at least once, until its outcome says that it is durable. Handoffs of one conversation name
 * the one before them (`prev`), and the receiver's shard accepts only the next one. So lost, repeated, late and
 * overtaken handoffs are harmless. Marks need no order: the highest counts.
 */
import type { GroupAddress, UserAddress, UserId } from "../../domain/address.ts";
import type { Seq } from "../../../storage/types.ts";

/**
 * A direct message, from the sender's timeline to the receiver's. `id` and `textJson` follow from the other fields, and
 * are computed at first use.
 */
export type MessageHandoff = {
  readonly kind: "message";
  readonly from: UserAddress;
  readonly to: UserAddress;
  /** The name in `to`. */
  readonly receiver: UserId;
  /** In the sender's timeline. */
  readonly seq: Seq;
  /** Of the message before it in this conversation; 0 for the first. */
  readonly prev: Seq;
  /** Of the sender's timeline. */
  readonly streamNo: number;
  readonly sentAt: number;
  readonly rank: number;
  readonly text: string;
  readonly id: string;
  readonly textJson: string;
};

/** The ref of a post: the group's shard tells the author's shard, which keeps all refs of its users (G2). */
export type PostedHandoff = {
  readonly kind: "posted";
  readonly group: GroupAddress;
  readonly author: UserId;
  readonly ref: string;
  /** In the group's log. */
  readonly seq: Seq;
};

/** A user is now a member of a group, or no longer: the group's shard tells the user's shard. */
export type MembershipHandoff = {
  readonly kind: "membership";
  readonly group: GroupAddress;
  readonly user: UserId;
  readonly change: "joined" | "left";
  /** In the group's log. */
  readonly seq: Seq;
  /** Seq of the change of this user's membership before it; 0 for the first. */
  readonly prev: Seq;
  /** Unix ms */
  readonly at: number;
  readonly isUnasked: boolean;
  /** Of the life of the group that it belongs to; empty for a former life. */
  readonly epoch: string;
};

/** How far the peer has received, or read, what a user sent. Cumulative. */
export type PeerMarkHandoff = {
  readonly kind: "peerMark";
  /** The peer, whose devices have the messages. */
  readonly from: UserAddress;
  /** The author of the messages. `delivered` and `read` are in the author's numbering; 0: unchanged. */
  readonly to: UserAddress;
  /** The name in `to`, if the sender has it. */
  readonly receiver?: UserId;
  readonly delivered: Seq;
  readonly read: Seq;
};

/** How far a member has received, or read, the log of a group. Cumulative. */
export type MemberMarkHandoff = {
  readonly kind: "memberMark";
  readonly user: UserId;
  readonly group: GroupAddress;
  /** Of the life of the group that the seqs belong to. */
  readonly epoch: string;
  readonly delivered: Seq;
  readonly read: Seq;
};

export type Handoff = MessageHandoff | PostedHandoff | MembershipHandoff | PeerMarkHandoff | MemberMarkHandoff;

/** Gets the result of a handoff: never, once or several times. */
export type HandoffOutcome = {
  /**
   * Everything of the same conversation and kind that was handed over through this seq is durable at the receiver.
   * @param read for marks, whose `through` is of `delivered`; otherwise absent or 0
   */
  confirmed(through: Seq, read?: Seq): void;
  /**
   * For marks, from a shard whose log has one order with the sender's (`ShardLog.isOneOrder`): the marks are appended,
   * so no crash loses them and keeps what is appended after them. Never called by other shards.
   */
  appended?(through: Seq, read: Seq): void;
  /** The handoff does not follow what the receiver has, which is everything through `through`. */
  missing(through: Seq): void;
  /** The receiver's shard could not accept the handoff. It is to be offered again later. */
  notTaken(error: unknown): void;
};
