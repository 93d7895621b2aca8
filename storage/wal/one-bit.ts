/**
 * Tells a flipped bit from bytes that never arrived.
 *
 * CRC-32 is linear: a flipped bit changes the checksum by a value that depends on nothing but the bit's distance from the end. Walking that value
 * back over all distances finds the bit in one pass, without trying each.
 */
const POLYNOMIAL = 0xedb88320;

/** Whether `bytes` with exactly one bit turned around have the checksum `crc`. */
export function isOneBitAway(bytes: Uint8Array, crc: number): boolean {
  const wanted = (Bun.hash.crc32(bytes) ^ crc) >>> 0;
  // What the highest bit of the last byte changes: it is fed in last.
  let change = POLYNOMIAL;
  for (let bit = bytes.length * 8; bit > 0; bit--) {
    if (change === wanted) return true;
    change = ((change >>> 1) ^ (change & 1 ? POLYNOMIAL : 0)) >>> 0;
  }
  return false;
}
