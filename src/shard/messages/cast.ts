/** Casts: what a shard tells users wherever they are connected, best effort. The list is closed. */
import type { GroupAddress, UserId } from "../../domain/address.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";

/** An entry of a group's log became durable. Whoever misses it has a hole below the head, and reads it from the log. */
export type EntryCast = {
  readonly kind: "entry";
  readonly group: GroupAddress;
  readonly seq: Seq;
  readonly frame: string;
  /** Who is told. */
  readonly users: Iterable<UserId>;
  /** Is not told: their own shard does that. */
  readonly except?: UserId | undefined;
};

/** A post of one's own, for the author's devices: their frame has the ref. The device that sent it has `sent` instead. */
export type OwnPostCast = {
  readonly kind: "own";
  readonly group: GroupAddress;
  readonly seq: Seq;
  readonly author: UserId;
  readonly authorShard: ShardId;
  readonly ref: string;
  readonly id: string;
  readonly textJson: string;
  /** Unix ms */
  readonly sentAt: number;
};

/** Stands for no entry: receipts in groups. */
export type NoticeCast = { readonly kind: "notice"; readonly users: Iterable<UserId>; readonly frame: string };

/** Posts of the author were erased. Whoever misses it counts the bytes that went until the author is counted anew (stored-counts.ts). */
export type PostedBytesCast = {
  readonly kind: "postedBytes";
  readonly group: GroupAddress;
  readonly author: UserId;
  readonly authorShard: ShardId;
  /** Of text that the author has in the group's log, as of its entry `through`. */
  readonly bytes: number;
  readonly through: Seq;
};

export type Cast = PostedBytesCast | EntryCast | OwnPostCast | NoticeCast;
