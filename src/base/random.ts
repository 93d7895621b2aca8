/** Randomness, passed as an argument. */
export type Random = {
  /** Returns `count` random bytes. */
  bytes(count: number): Uint8Array;
};

export const systemRandom: Random = {
  bytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
};

const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

/** `length` characters of `[a-z2-7]`, 5 bits of randomness each. */
export function randomName(random: Random, length: number): string {
  let name = "";
  for (const byte of random.bytes(length)) name += ALPHABET[byte & 31];
  return name;
}
