/**
 * What two nodes say while a shard moves, as bulk packets: `u8 kind, varint move, varint shard, body`. The target
 * numbers its moves. Copied bytes are packed with LZ4 where that makes them smaller.
 *
 *     target → source   want      rate              begin
 *     source → target   header    size, through     the files as of one flush
 *                       chunk     bytes             …
 *                       copied                      that was all of them
 *     target → source   ready     through           records above this are wanted
 *     source → target   records   record…           as they become durable
 *     target → source   taken     through           they are durable here
 *                       release                     end your ownership now
 *     source → target   notYet                      too much is under way, ask again; or the copy is being made
 *                       released  through           the last record, which every record before has reached
 *     either            failed    why
 */
import { ByteReader } from "../../../storage/encoding/byte-reader.ts";
import { GrowingWriter } from "../../../storage/encoding/byte-writer.ts";
import { CODEC_LZ4, pack, unpack } from "../../../storage/encoding/packing.ts";
import { SHARD_COUNT, type ShardId } from "../../../storage/types.ts";
import { fields } from "../../home/messages/codec/codec.ts";
import { number, text } from "../../home/messages/codec/values.ts";

export const MOVE = {
  want: 1,
  header: 2,
  chunk: 3,
  copied: 4,
  ready: 5,
  records: 6,
  taken: 7,
  release: 8,
  notYet: 9,
  released: 10,
  failed: 11,
} as const;
export type MoveKind = (typeof MOVE)[keyof typeof MOVE];

const KINDS = new Set<number>(Object.values(MOVE));
const NOTHING = Buffer.alloc(0);

export type MovePacket = {
  readonly kind: MoveKind;
  readonly move: number;
  readonly shard: ShardId;
  readonly body: Buffer;
};

export function encodeMove(kind: MoveKind, move: number, shard: ShardId, body: Uint8Array = NOTHING): Buffer {
  const out = new GrowingWriter(body.length + 16);
  out.varint(kind);
  out.varint(move);
  out.varint(shard);
  out.copy(body, 0, body.length);
  return out.written();
}

/** @throws RangeError for bytes that no node sends */
export function decodeMove(packet: Buffer): MovePacket {
  const from = new ByteReader(packet);
  const kind = from.varint();
  const move = from.varint();
  const shard = from.varint();
  if (!KINDS.has(kind) || shard >= SHARD_COUNT) throw new RangeError(`no packet of a move: ${kind}, ${shard}`);
  return { kind: kind as MoveKind, move, shard: shard as ShardId, body: packet.subarray(from.pos) };
}

/** Bytes a second, for the files. */
export const wanted = fields<{ rate: number }>({ rate: number });
export const header = fields<{ size: number; through: number }>({ size: number, through: number });
export const through = number;
export const reason = text;

export function packBytes(bytes: Buffer): Buffer {
  const { codec, data } = pack(bytes, { codec: CODEC_LZ4 });
  return Buffer.concat([Buffer.of(codec), data]);
}

/** @throws RangeError for bytes that no node sends */
export function unpackBytes(body: Buffer): Buffer {
  if (body.length === 0) throw new RangeError("an empty piece");
  try {
    return unpack(body[0]!, body.subarray(1));
  } catch (cause) {
    throw new RangeError("a piece cannot be unpacked", { cause });
  }
}
