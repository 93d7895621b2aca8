/** A message on its way to a group: what the author's shard sends to the group's shard, and the replies. */
import type { UserId } from "../../domain/address.ts";
import type { AppError } from "../../base/errors.ts";
import type { ShardId, Seq } from "../../../storage/types.ts";

/** The time from when an object was created in memory until it went away. Two lives differ in `id`. */
export type Life = {
  readonly id: number;
  /** Of two lives of a shard, the later one has the same or a higher rank. */
  readonly rank: number;
};

export type Post = {
  readonly author: UserId;
  readonly authorShard: ShardId;
  readonly ref: string;
  readonly text: string;
  /** Whether the ref may have been posted already: then the group's log is searched first. */
  readonly mayRepeat: boolean;
  /**
   * Seq of the last change of the group in the author's timeline, in the group's numbering; 0: none. A former member
   * gets a more exact refusal than a stranger.
   */
  readonly knownThrough: Seq;
  /** Of the author's shard. */
  readonly life: Life;
  /** Number of this message in that life, rising from 1. Unchanged when the message is sent again. */
  readonly no: number;
  /**
   * `no` of the same author's message to the same group before it whose fate the author's shard does not know yet; 0:
   * none.
   */
  readonly prev: number;
  /** How often it was sent before. */
  readonly round: number;
  /** Of the group in memory, as its last reply named it; 0: it has not replied yet. */
  readonly groupLife: number;
};

/** A post as it stands in the group's log. */
export type Posted = {
  readonly seq: Seq;
  readonly id: string;
  /** Unix ms; 0 if it was erased */
  readonly sentAt: number;
  /** Undefined if it was erased. */
  readonly text: string | undefined;
  /** When it was erased, Unix ms. */
  readonly deletedAt?: number;
};

/** Called never, once or several times. */
export type PostReply = {
  /** @param isRepeat whether the post was in the log already. @param groupLife of the group in memory */
  posted(posted: Posted, isRepeat: boolean, groupLife: number): void;
  /** The author's message before it (`prev`) has not arrived. */
  missing(round: number): void;
  refused(error: AppError): void;
};
