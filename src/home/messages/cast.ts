/** Casts: what a shard tells users wherever they are connected, best effort. The list is closed. */
import type { GroupAddress, UserId } from "../../domain/address.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";

/** An entry of a group's log became durable. Whoever misses it has a hole below the head, and reads it from the log. */
export type EntryCast = {
  readonly kind: "entry";
  readonly group: GroupAddress;
  readonly seq: Seq;
  /** Of a post; a change of the group has one as well, which is asked for. */
  readonly rank?: number | undefined;
  readonly frame: string;
  /** Who is told. */
  readonly users: Iterable<UserId>;
  /** Of a post. Its author's frame has the ref as well, and the device that sent it has `sent` instead. */
  readonly own?: OwnPost | undefined;
};

export type OwnPost = { readonly author: UserId; readonly authorShard: ShardId; readonly ref: string };

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

export type Cast = PostedBytesCast | EntryCast | NoticeCast;
