/** How bytes are packed: a codec byte beside them. The one file that imports LZ4. */
import { compressSync, uncompressSync } from "lz4-napi";

export const CODEC_RAW = 0;
/** u32 raw size, then one LZ4 block: what lz4-napi calls "prepend size". */
export const CODEC_LZ4 = 1;
/** One zstd frame. */
export const CODEC_ZSTD = 2;

export type Packing = { codec: typeof CODEC_LZ4 } | { codec: typeof CODEC_ZSTD; level: number };
export type Packed = { codec: number; data: Buffer };

/** As asked, or raw where that would not be smaller. */
export function pack(raw: Buffer, packing: Packing): Packed {
  const data = packing.codec === CODEC_LZ4 ? compressSync(raw) : Bun.zstdCompressSync(raw, { level: packing.level });
  return data.length < raw.length ? { codec: packing.codec, data } : { codec: CODEC_RAW, data: raw };
}

/** @throws RangeError for a codec of a newer version. The checksum of `data` has been checked before. */
export function unpack(codec: number, data: Buffer): Buffer {
  if (codec === CODEC_RAW) return data;
  if (codec === CODEC_LZ4) return uncompressSync(data);
  if (codec === CODEC_ZSTD) return Bun.zstdDecompressSync(data);
  throw new RangeError(`unknown codec ${codec}`);
}

export type PackedColumns = { codec: number; raw_bytes: number; data: Uint8Array };

/** Columns of a row that holds packed bytes. */
export function packed(raw: Buffer, packing: Packing): PackedColumns {
  return { ...pack(raw, packing), raw_bytes: raw.length };
}

/** @throws RangeError where it is not as long as it says. */
export function unpackedRow({ codec, raw_bytes, data }: PackedColumns): Buffer {
  const raw = unpack(codec, Buffer.from(data.buffer, data.byteOffset, data.length));
  if (raw.length !== raw_bytes) throw new RangeError(`${raw.length} bytes instead of ${raw_bytes}`);
  return raw;
}
