/** A message on its way to a group: what the author's shard asks of the group's, and how that replies. */
import type { UserId } from "../../domain/address.ts";
import type { AppError } from "../../base/errors.ts";
import type { ShardId, Seq } from "../../../storage/types.ts";

export type Post = {
  readonly author: UserId;
  readonly authorShard: ShardId;
  readonly ref: string;
  readonly text: string;
  /** The ref may have been posted already: the group's log is asked first. */
  readonly mayRepeat: boolean;
  /** What the author's timeline says last of the group, in the group's numbering; 0: nothing. Who was in it is told more. */
  readonly knownThrough: Seq;
};

/** A post as it stands in the group's log. */
export type Posted = {
  readonly seq: Seq;
  readonly id: string;
  /** Unix ms; 0 for one that was erased */
  readonly sentAt: number;
  /** Undefined for one that was erased. */
  readonly text: string | undefined;
  /** When it was erased, Unix ms. */
  readonly deletedAt?: number;
};

export type PostReply = {
  /** @param isRepeat it stood there already */
  posted(posted: Posted, isRepeat: boolean): void;
  refused(error: AppError): void;
};
