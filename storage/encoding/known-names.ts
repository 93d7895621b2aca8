/**
 * Names found by their bytes: records name the same few streams and lanes again and again, and making a string costs
 * more than comparing it. A cache of fixed size that forgets; a name that is not in it is made anew.
 */
import { isStr8, str8At } from "./byte-reader.ts";

const SLOTS = 1 << 12;

export class KnownNames {
  readonly #slots: string[] = Array.from({ length: SLOTS }, () => "");

  /** The name whose length byte is at `at`. */
  at(bytes: Buffer, at: number): string {
    const slot = nameSlot(bytes, at, SLOTS);
    const known = this.#slots[slot]!;
    if (isStr8(bytes, at, known)) return known;
    return (this.#slots[slot] = str8At(bytes, at));
  }
}

/** A number below `slots`, a power of two, by the name whose length byte is at `at`. FNV-1a. */
export function nameSlot(bytes: Uint8Array, at: number, slots: number): number {
  let hash = 0x811c9dc5;
  for (let i = at + bytes[at]!; i > at; i--) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return (hash ^ (hash >>> 16)) & (slots - 1);
}
