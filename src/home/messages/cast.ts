/** Casts: what a shard tells users at all nodes where they are connected, best effort. The list is closed. */
import type { GroupAddress, UserId } from "../../domain/address.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";

/**
 * An entry of a group's log became durable. A node that misses the cast has a hole below the head, and reads it from
 * the log.
 */
export type EntryCast = {
  readonly kind: "entry";
  readonly group: GroupAddress;
  readonly seq: Seq;
  /** Only for a post. A change of the group has a rank too; a node that needs it asks. */
  readonly rank?: number | undefined;
  readonly frame: string;
  /** The users to tell. */
  readonly users: Iterable<UserId>;
  /** Only for a post. Its author's frame also has the ref, and the device that sent it gets `sent` instead. */
  readonly own?: OwnPost | undefined;
};

export type OwnPost = { readonly author: UserId; readonly authorShard: ShardId; readonly ref: string };

/** A frame that is no entry: receipts in groups. */
export type NoticeCast = { readonly kind: "notice"; readonly users: Iterable<UserId>; readonly frame: string };

/**
 * Posts of the author were erased. If the cast is lost, the bytes stay counted until the author is counted anew
 * (stored-counts.ts).
 */
export type PostedBytesCast = {
  readonly kind: "postedBytes";
  readonly group: GroupAddress;
  readonly author: UserId;
  readonly authorShard: ShardId;
  /** Bytes of the author's text in the group's log, as of its entry `through`. */
  readonly bytes: number;
  readonly through: Seq;
};

export type Cast = PostedBytesCast | EntryCast | NoticeCast;
