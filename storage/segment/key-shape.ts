/**
 * How a key is found again. A key that ends in a counter (`d7k2-1234`) can ride in a *key run*: one row for a stretch of rising counters.
 * Any other key gets a row with its hash. Either only says where to look: the key itself, in its block, decides.
 */

export type CountedKey = { prefix: string; counter: number };

const PREFIX_LENGTH_MAX = 12;
/** 15 digits stay below 2^51. A leading zero belongs to the prefix, so that a prefix and a counter make one key only. */
const COUNTED = /^(|.*?[^0-9A-Za-z])(0|[1-9][0-9]{0,14})$/;

/** Prefix and counter of a key such as SDKs make: nothing or up to 12 characters ending in a sign, then a plain number. */
export function countedKey(key: string): CountedKey | undefined {
  const parts = COUNTED.exec(key);
  if (parts === null || parts[1]!.length > PREFIX_LENGTH_MAX) return undefined;
  return { prefix: parts[1]!, counter: Number(parts[2]) };
}

/** 32 bits, signed so that SQLite stores four bytes. Collisions cost a read, never an answer. */
export function keyHash(key: string): number {
  return Bun.hash.xxHash32(key, 0) | 0;
}
