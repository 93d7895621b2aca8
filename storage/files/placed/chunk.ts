/**
 * How a lane's tail lies in rows of the state: placing adds a chunk as it is; when there are some, they become one that
 * is packed; a packed one that is large stays. So an entry is packed once or twice.
 */
import { CODEC_RAW, CODEC_ZSTD, packed, type PackedColumns, type Packing } from "../../encoding/packing.ts";

/** As many chunks, with the new one, become one. */
export const CHUNKS_MERGED = 5;
/** A chunk larger than this, unpacked, stays as it is. */
export const CHUNK_BYTES_MAX = 4096;
/** What is as much at once is packed at once. */
export const ITEMS_PACKED_MIN = 8;
const PACKING: Packing = { codec: CODEC_ZSTD, level: 3 };

export function packChunk(raw: Buffer, isPacked: boolean): PackedColumns {
  return isPacked ? packed(raw, PACKING) : { codec: CODEC_RAW, raw_bytes: raw.length, data: raw };
}
