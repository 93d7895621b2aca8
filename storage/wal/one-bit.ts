/**
 * Tells a flipped bit from bytes that never arrived.
 *
 * CRC-32 is linear: a flipped bit changes the checksum by a value that depends on nothing but the bit's distance from the end. Walking that value
 * back over all distances finds the bit in one pass, without trying each.
 */
const POLYNOMIAL = 0xedb88320;

/** The one bit (byte × 8 + bit in the byte) that, turned around, gives `bytes` the checksum `crc`; undefined when there is none. */
export function oneBitAway(bytes: Uint8Array, crc: number): number | undefined {
  const wanted = (Bun.hash.crc32(bytes) ^ crc) >>> 0;
  // What the highest bit of the last byte changes: it is fed in last.
  let change = POLYNOMIAL;
  for (let bit = bytes.length * 8 - 1; bit >= 0; bit--) {
    if (change === wanted) return bit;
    change = ((change >>> 1) ^ (change & 1 ? POLYNOMIAL : 0)) >>> 0;
  }
  return undefined;
}
