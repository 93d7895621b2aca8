/**
 * How a key is found again. A key that ends in a counter (`d7k2-1234`) is a number below its prefix; keys of one prefix
 * share a page of numbers. Any other key gets a row with its hash.
 */

export type CountedKey = { prefix: string; counter: number };

const PREFIX_LENGTH_MAX = 80;
export const DIGITS_MAX = 15;
export const COUNTER_MAX = 10 ** DIGITS_MAX - 1;

/**
 * Prefix and counter of a key such as SDKs make: nothing or something ending in a sign, then a plain number. 15 digits
 * stay below 2^51; a leading zero is no number, so that a prefix and a counter make one key only. By hand, because it
 * is asked twice for each message.
 */
export function countedKey(key: string): CountedKey | undefined {
  let at = key.length;
  while (at > 0 && isDigit(key.charCodeAt(at - 1))) at--;
  const digits = key.length - at;
  if (digits === 0 || digits > DIGITS_MAX || at > PREFIX_LENGTH_MAX) return undefined;
  if (digits > 1 && key.charCodeAt(at) === 48) return undefined;
  if (at > 0 && isLetter(key.charCodeAt(at - 1))) return undefined;
  let counter = 0;
  for (let i = at; i < key.length; i++) counter = counter * 10 + key.charCodeAt(i) - 48;
  return { prefix: key.slice(0, at), counter };
}

/** Whether `countedKey` cuts keys behind this prefix. */
export function isCountedPrefix(prefix: string): boolean {
  return countedKey(`${prefix}0`)?.prefix === prefix;
}

const COUNTER = new RegExp(`^(?:0|[1-9][0-9]{0,${DIGITS_MAX - 1}})$`);

/**
 * The counter of a key that is the prefix and a plain number, also where the prefix ends in a letter; -1 for any other.
 */
export function counterBehind(prefix: string, key: string): number {
  if (!key.startsWith(prefix)) return -1;
  const counter = key.slice(prefix.length);
  return COUNTER.test(counter) ? Number(counter) : -1;
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

function isLetter(code: number): boolean {
  return (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
}

/** 32 bits, signed so that SQLite stores four bytes. Collisions cost a read, never an answer. */
export function keyHash(key: string): number {
  return Bun.hash.xxHash32(key, 0) | 0;
}
