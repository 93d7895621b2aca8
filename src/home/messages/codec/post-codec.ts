/** Posts and their replies as bytes. */
import type { AppError } from "../../../base/errors.ts";
import type { GroupAddress } from "../../../domain/address.ts";
import type { Life, Post, Posted } from "../post.ts";
import { bool, decodeMessage, encodeMessage, fields, oneOf, optional, type Codec } from "./codec.ts";
import { appError } from "./error-codec.ts";
import { groupAddress, number, seq, shardId, text, userId } from "./values.ts";

export const posted: Codec<Posted> = fields<Posted>({
  seq,
  id: text,
  sentAt: number,
  text: optional(text),
  deletedAt: optional(number),
});

/** A post on its way. */
export type SentPost = { readonly group: GroupAddress; readonly post: Post };

const sentPost = fields<SentPost>({
  group: groupAddress,
  post: fields<Post>({
    author: userId,
    authorShard: shardId,
    ref: text,
    text,
    mayRepeat: bool,
    knownThrough: seq,
    life: fields<Life>({ id: number, rank: number }),
    no: number,
    prev: number,
    round: number,
    groupLife: number,
  }),
});

export const encodePost = (value: SentPost): Buffer => encodeMessage(sentPost, value);
/** @throws RangeError for bytes that are no post */
export const decodePost = (bytes: Buffer): SentPost => decodeMessage(sentPost, bytes);

/** A call of `PostReply`. */
export type ToldPostReply =
  | { readonly kind: "posted"; readonly posted: Posted; readonly isRepeat: boolean; readonly groupLife: number }
  | { readonly kind: "missing"; readonly round: number }
  | { readonly kind: "refused"; readonly error: AppError };

const reply = oneOf<ToldPostReply>({
  posted: [1, fields({ posted, isRepeat: bool, groupLife: number })],
  refused: [2, fields({ error: appError })],
  missing: [3, fields({ round: number })],
});

export const encodePostReply = (value: ToldPostReply): Buffer => encodeMessage(reply, value);
/** @throws RangeError for bytes that are no reply */
export const decodePostReply = (bytes: Buffer): ToldPostReply => decodeMessage(reply, bytes);
