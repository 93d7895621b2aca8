/** A message on its way to a group: what the author's shard asks of the group's, and how that replies. */
import type { UserId } from "../../domain/address.ts";
import type { AppError } from "../../base/errors.ts";
import type { ShardId, Seq } from "../../../storage/types.ts";

/** The time from when something was made, in memory, until it went away. Two lives differ in `id`. */
export type Life = {
  readonly id: number;
  /** Of two lives of a shard the later one has the higher one, or the same. */
  readonly rank: number;
};

export type Post = {
  readonly author: UserId;
  readonly authorShard: ShardId;
  readonly ref: string;
  readonly text: string;
  /** The ref may have been posted already: the group's log is asked first. */
  readonly mayRepeat: boolean;
  /** What the author's timeline says last of the group, in the group's numbering; 0: nothing. Who was in it is told more. */
  readonly knownThrough: Seq;
  /** Of the author's shard. */
  readonly life: Life;
  /** Of this message in that life: rising, from 1. It keeps it when it is sent again. */
  readonly no: number;
  /** Of the same author's message to the same group before it, of which the author's shard knows nothing yet; 0: there is none. */
  readonly prev: number;
  /** How often it was sent before. */
  readonly round: number;
  /** Of the group in memory, as its last reply has said; 0: it has not replied yet. */
  readonly groupLife: number;
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

/** Told never, once or several times. */
export type PostReply = {
  /** @param isRepeat it stood there already. @param groupLife of the group in memory */
  posted(posted: Posted, isRepeat: boolean, groupLife: number): void;
  /** What its author has sent before it (`prev`) has not come. */
  missing(round: number): void;
  refused(error: AppError): void;
};
