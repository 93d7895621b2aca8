/**
 * Messages between shards of two nodes, as packets of a link:
 *
 *     u8 kind, varint mapVersion, varint id, varint shard, body
 *
 * `mapVersion` is that of the sender's map. `id` names a message that gets a reply, and the message that a reply is to;
 * each node counts its own. `shard` is the receiver's; of a reply, that of the message. The bodies are those of
 * home/messages/codec. A kind's number never changes, and is never given to another kind.
 */
import { ByteReader } from "../../../storage/encoding/byte-reader.ts";
import { GrowingWriter } from "../../../storage/encoding/byte-writer.ts";
import { SHARD_COUNT, type ShardId } from "../../../storage/types.ts";

export const KIND = {
  handoff: 1,
  outcome: 2,
  question: 3,
  answer: 4,
  post: 5,
  postReply: 6,
  cast: 7,
  /** The receiver does not own the shard. Its `mapVersion` says whether the sender's map is old. */
  notOwner: 8,
  /** An ask that was refused. */
  refusal: 9,
} as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

const KINDS = new Set<number>(Object.values(KIND));

export type Envelope = {
  readonly kind: Kind;
  readonly mapVersion: number;
  readonly id: number;
  readonly shard: ShardId;
  readonly body: Buffer;
};

const NOTHING = Buffer.alloc(0);

export function encodeEnvelope(
  kind: Kind,
  mapVersion: number,
  id: number,
  shard: ShardId,
  body: Uint8Array = NOTHING,
): Buffer {
  const out = new GrowingWriter(body.length + 24);
  out.varint(kind);
  out.varint(mapVersion);
  out.varint(id);
  out.varint(shard);
  out.copy(body, 0, body.length);
  return out.written();
}

/** @throws RangeError for bytes that no node sends */
export function decodeEnvelope(packet: Buffer): Envelope {
  const from = new ByteReader(packet);
  const kind = from.varint();
  const mapVersion = from.varint();
  const id = from.varint();
  const shard = from.varint();
  if (!KINDS.has(kind) || shard >= SHARD_COUNT) throw new RangeError(`no message between shards: ${kind}, ${shard}`);
  return { kind: kind as Kind, mapVersion, id, shard: shard as ShardId, body: packet.subarray(from.pos) };
}
