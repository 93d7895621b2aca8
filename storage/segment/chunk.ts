/**
 * How recent items and tails lie in rows of the state: a flush adds a chunk as it is; when there are some, they become one that is packed; a packed one
 * that is large stays. So most flushes neither unpack nor pack what was there, and an entry is packed once or twice.
 */
import { CODEC_RAW, CODEC_ZSTD, pack, type Packing, unpack } from "./codec.ts";
import { asBuffer } from "./varint.ts";

/** As many chunks, with the new one, become one. */
export const CHUNKS_MERGED = 5;
/** A chunk larger than this, unpacked, stays as it is. */
export const CHUNK_BYTES_MAX = 4096;
/** What is as much at once is packed at once. */
export const ITEMS_PACKED_MIN = 8;
const PACKING: Packing = { codec: CODEC_ZSTD, level: 3 };

export type PackedColumns = { codec: number; raw_bytes: number; data: Uint8Array };

export function packChunk(raw: Buffer, isPacked: boolean): PackedColumns {
  const { codec, data } = isPacked ? pack(raw, PACKING) : { codec: CODEC_RAW, data: raw };
  return { codec, raw_bytes: raw.length, data };
}

/** @throws RangeError where it is not as long as it says. */
export function unpackChunk({ codec, raw_bytes, data }: PackedColumns): Buffer {
  const raw = unpack(codec, asBuffer(data));
  if (raw.length !== raw_bytes) throw new RangeError(`${raw.length} bytes instead of ${raw_bytes}`);
  return raw;
}
