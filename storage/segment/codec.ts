/** How the bytes of a block are packed: one codec byte per block. The one file that imports LZ4. */
import { compressSync, uncompressSync } from "lz4-napi";

export const CODEC_RAW = 0;
/** u32 raw size, then one LZ4 block: what lz4-napi calls "prepend size". */
export const CODEC_LZ4 = 1;

/** LZ4, or raw where that would not be smaller. */
export function pack(raw: Buffer): { codec: number; data: Buffer } {
  const data = compressSync(raw);
  return data.length < raw.length ? { codec: CODEC_LZ4, data } : { codec: CODEC_RAW, data: raw };
}

/** @throws RangeError for a codec of a newer version. The checksum of `data` has been checked before. */
export function unpack(codec: number, data: Buffer): Buffer {
  if (codec === CODEC_RAW) return data;
  if (codec === CODEC_LZ4) return uncompressSync(data);
  throw new RangeError(`unknown codec ${codec}`);
}
