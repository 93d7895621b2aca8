/**
 * Where keys that end in a counter point, by rising prefix and counter: a leaf of a stream's index. It is exact by itself, nothing else need be read.
 *
 *     page     prefix…
 *     prefix   characters it shares with the start of the one before | with the end | str8 what is between | key | key… | 0 if another follows
 *     key      2 × step of the counter | signed step of the seq                  of an entry
 *              2 × step of the counter + 1 | value | signed step of the seq      set alone
 *     value    number by first appearance | behind a new number: length, bytes
 *
 * Numbers are varints. The first counter of a prefix is a step from 0, a later step is never 0. Steps of a seq are counted for entries and for each value
 * apart, from the one before in the page.
 */
import type { CountedKey } from "../segment/key-shape.ts";
import { asBuffer, VarReader, VarWriter } from "../segment/varint.ts";
import type { KeyHit, Seq } from "../types.ts";

export type PageKey = CountedKey & KeyHit;

/**
 * Of a page with the prefix that its row has. With what else is in the row it fills two overflow pages of 508 bytes, and the 102 bytes that SQLite keeps
 * of such a row in its tree: another size leaves a part of one empty.
 */
export const KEY_PAGE_BYTES_MAX = 1101;

/** Where the lowest page of a stream begins: no key is below it. */
export const LOWEST_PAGE: CountedKey = { prefix: "", counter: 0 };

/** In the order of SQLite's text: prefixes are ASCII. */
export function compareKeys(a: CountedKey, b: CountedKey): number {
  if (a.prefix !== b.prefix) return a.prefix < b.prefix ? -1 : 1;
  return a.counter - b.counter;
}

/** As many of the keys, which rise, as have room in a page: one at least. */
export function writeKeyPage(keys: readonly PageKey[], from: number): { page: Uint8Array; end: number } {
  const out = new PageWriter();
  const bytesMax = KEY_PAGE_BYTES_MAX - keys[from]!.prefix.length;
  let end = from;
  let bytes: number;
  do {
    bytes = out.bytes;
    out.add(keys[end++]!);
  } while (out.bytes <= bytesMax && end < keys.length);
  if (out.bytes <= bytesMax || end === from + 1) return { page: out.upTo(out.bytes), end };
  return { page: out.upTo(bytes), end: end - 1 };
}

class PageWriter {
  readonly #out = new VarWriter(KEY_PAGE_BYTES_MAX + 64);
  readonly #values: Uint8Array[] = [];
  /** Of entries, then of each value. */
  readonly #seqs = [0];
  #prefix: string | undefined;
  #counter = 0;

  get bytes(): number {
    return this.#out.pos;
  }

  upTo(bytes: number): Uint8Array {
    return this.#out.bytes.subarray(0, bytes);
  }

  add({ prefix, counter, seq, value }: PageKey): void {
    if (prefix !== this.#prefix) this.#begin(prefix);
    this.#out.varint(2 * (counter - this.#counter) + (value === null ? 0 : 1));
    const of = value === null ? 0 : this.#value(value);
    this.#out.signed(seq - this.#seqs[of]!);
    this.#seqs[of] = seq;
    this.#counter = counter;
  }

  #begin(prefix: string): void {
    const out = this.#out;
    if (this.#prefix !== undefined) out.varint(0);
    const before = this.#prefix ?? "";
    const limit = Math.min(prefix.length, before.length);
    let start = 0;
    while (start < limit && prefix.charCodeAt(start) === before.charCodeAt(start)) start++;
    let end = 0;
    while (end < limit - start && prefix.at(-1 - end) === before.at(-1 - end)) end++;
    out.varint(start);
    out.varint(end);
    out.str8(prefix.slice(start, prefix.length - end));
    this.#prefix = prefix;
    this.#counter = 0;
  }

  /** @returns its place among the seqs. Few values per page, so a scan beats a map. */
  #value(value: Uint8Array): number {
    const known = this.#values.findIndex((one) => Buffer.compare(one, value) === 0);
    const index = known === -1 ? this.#values.push(value) - 1 : known;
    this.#out.varint(index);
    if (known === -1) {
      this.#out.varint(value.length);
      this.#out.copy(value, 0, value.length);
      this.#seqs.push(0);
    }
    return index + 1;
  }
}

/** @throws RangeError where the bytes are not a page. */
export function readKeyPage(page: Uint8Array): PageKey[] {
  const reader = new VarReader(asBuffer(page));
  const values: Uint8Array[] = [];
  const seqs = [0];
  const keys: PageKey[] = [];
  let prefix = "";
  while (reader.pos < reader.end) {
    prefix = readPrefix(reader, prefix);
    let counter = 0;
    for (let isFirst = true; isFirst || reader.pos < reader.end; isFirst = false) {
      const step = reader.varint();
      if (step === 0 && !isFirst) break;
      counter += Math.floor(step / 2);
      const value = step % 2 === 0 ? 0 : readValue(reader, values, seqs);
      const seq = (seqs[value]! += reader.signed());
      keys.push({ prefix, counter, seq: seq as Seq, value: value === 0 ? null : values[value - 1]! });
    }
  }
  return keys;
}

function readPrefix(reader: VarReader, before: string): string {
  const start = reader.varint();
  const end = reader.varint();
  if (start + end > before.length)
    throw new RangeError(`a prefix shares ${start + end} of ${before.length} characters`);
  return before.slice(0, start) + reader.str8() + before.slice(before.length - end);
}

function readValue(reader: VarReader, values: Uint8Array[], seqs: number[]): number {
  const index = reader.varint();
  if (index > values.length) throw new RangeError(`a key of value ${index} of ${values.length}`);
  if (index === values.length) {
    const length = reader.varint();
    const at = reader.skip(length);
    values.push(reader.bytes.subarray(at, at + length));
    seqs.push(0);
  }
  return index + 1;
}

/** @param keys rising */
export function findInPage(keys: readonly PageKey[], key: CountedKey): PageKey | undefined {
  let low = 0;
  for (let high = keys.length; low < high;) {
    const middle = (low + high) >>> 1;
    if (compareKeys(keys[middle]!, key) < 0) low = middle + 1;
    else high = middle;
  }
  const found = keys[low];
  return found !== undefined && compareKeys(found, key) === 0 ? found : undefined;
}
