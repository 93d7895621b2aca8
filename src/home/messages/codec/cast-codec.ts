/** Casts as bytes. */
import type { UserId } from "../../../domain/address.ts";
import type { Cast, OwnPost } from "../cast.ts";
import { decodeMessage, encodeMessage, fields, list, oneOf, optional, type Codec } from "./codec.ts";
import { groupAddress, number, seq, shardId, text, userId } from "./values.ts";

const userIds = list(userId);
/** Of any iterable. */
const users: Codec<Iterable<UserId>> = {
  write: (out, value) => userIds.write(out, [...value]),
  read: userIds.read,
};

const own = fields<OwnPost>({ author: userId, authorShard: shardId, ref: text });

const cast = oneOf<Cast>({
  entry: [1, fields({ group: groupAddress, seq, rank: optional(number), frame: text, users, own: optional(own) })],
  postedBytes: [20, fields({ group: groupAddress, author: userId, authorShard: shardId, bytes: number, through: seq })],
  notice: [3, fields({ users, frame: text })],
});

export const encodeCast = (value: Cast): Buffer => encodeMessage(cast, value);
/** @throws RangeError for bytes that are no cast */
export const decodeCast = (bytes: Buffer): Cast => decodeMessage(cast, bytes);
