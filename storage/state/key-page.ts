/**
 * Where the keys of one prefix point, by rising counter: a page of a small index. It is exact by itself: nothing else need be read.
 *
 *     page     values | (length, value)… | key…
 *     key      step of the counter | 0 for a key of an entry, n for a key set alone to value n | signed step of the seq
 *
 * Numbers are varints. The first counter is a step from 0. Steps of a seq are counted for entries and for each value apart, from the one before.
 */
import { asBuffer, VarReader, VarWriter } from "../segment/varint.ts";
import type { KeyHit, Seq } from "../types.ts";

export type PageKey = { counter: number; hit: KeyHit };

/** With two or three bytes a key, such a page shares a page of the file with others. */
export const KEYS_PER_PAGE_MAX = 64;

export function writeKeyPage(keys: PageKey[]): Uint8Array {
  const out = new VarWriter();
  const values = distinctValues(keys);
  out.varint(values.length);
  for (const value of values) {
    out.varint(value.length);
    out.copy(value, 0, value.length);
  }
  const lastSeqs = [0, ...values.map(() => 0)];
  let last = 0;
  for (const { counter, hit } of keys) {
    const index = valueIndex(values, hit);
    out.varint(counter - last);
    out.varint(index);
    out.signed(hit.seq - lastSeqs[index]!);
    last = counter;
    lastSeqs[index] = hit.seq;
  }
  return out.written();
}

/** @throws RangeError where the bytes are not a page. */
export function readKeyPage(page: Uint8Array): PageKey[] {
  const bytes = asBuffer(page);
  const reader = new VarReader(bytes);
  const values = Array.from({ length: reader.varint() }, () => {
    const length = reader.varint();
    const at = reader.skip(length);
    return bytes.subarray(at, at + length);
  });
  const lastSeqs = [0, ...values.map(() => 0)];
  const keys: PageKey[] = [];
  for (let counter = 0; reader.pos < reader.end;) {
    counter += reader.varint();
    const index = reader.varint();
    if (index >= lastSeqs.length) throw new RangeError(`a key of value ${index} of ${values.length}`);
    lastSeqs[index]! += reader.signed();
    keys.push({ counter, hit: { seq: lastSeqs[index] as Seq, value: index === 0 ? null : values[index - 1]! } });
  }
  return keys;
}

/** Index of the first key with at least this counter. */
export function keyPosition(keys: PageKey[], counter: number): number {
  let low = 0;
  for (let high = keys.length; low < high;) {
    const middle = (low + high) >>> 1;
    if (keys[middle]!.counter < counter) low = middle + 1;
    else high = middle;
  }
  return low;
}

function distinctValues(keys: PageKey[]): Uint8Array[] {
  const values: Uint8Array[] = [];
  for (const { hit } of keys) if (hit.value !== null && valueIndex(values, hit) === 0) values.push(hit.value);
  return values;
}

/** 0 for the key of an entry, and for a value that is not in the list. Few values per page, so a scan beats a map. */
function valueIndex(values: Uint8Array[], { value }: KeyHit): number {
  return value === null ? 0 : values.findIndex((known) => Buffer.compare(known, value) === 0) + 1;
}
