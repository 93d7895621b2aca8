/**
 * Where the keys of one prefix point, by rising counter. It is exact by itself, and more keys can be written behind it
 * as it is.
 *
 *     list      key…
 *     key      2 × step of the counter | signed step of the seq                  of an entry
 *              2 × step of the counter + 1 | value | signed step of the seq      set alone
 *     value    number by first appearance | behind a new number: length, bytes
 *
 * Numbers are varints. The first counter and the first seq are steps from 0. Steps of a seq are counted for entries and
 * for each value apart, from the one before.
 */
import { asBuffer, ByteReader } from "../../encoding/byte-reader.ts";
import { GrowingWriter } from "../../encoding/byte-writer.ts";
import type { KeyHit, Seq } from "../../types.ts";

export type ListKey = { counter: number } & KeyHit;

/** Goes through a list key by key, without making anything: it is asked on the way of a flush. */
export class KeyCursor {
  counter = 0;
  seq = 0;
  value: Uint8Array | null = null;
  /** Of entries, then of each value. */
  readonly seqs = [0];
  readonly values: Uint8Array[] = [];
  readonly #reader: ByteReader;

  constructor(list: Uint8Array) {
    this.#reader = new ByteReader(asBuffer(list));
  }

  /** How many bytes have been read. */
  get bytes(): number {
    return this.#reader.pos;
  }

  /** @throws RangeError where the bytes are not a list. */
  next(): boolean {
    const reader = this.#reader;
    if (reader.pos >= reader.end) return false;
    const step = reader.varint();
    this.counter += Math.floor(step / 2);
    const of = step % 2 === 0 ? 0 : this.#valueNo();
    this.seq = this.seqs[of]! += reader.signed();
    this.value = of === 0 ? null : this.values[of - 1]!;
    return true;
  }

  #valueNo(): number {
    const reader = this.#reader;
    const index = reader.varint();
    if (index > this.values.length) throw new RangeError(`a key of value ${index} of ${this.values.length}`);
    if (index === this.values.length) {
      const length = reader.varint();
      const at = reader.skip(length);
      this.values.push(reader.bytes.subarray(at, at + length));
      this.seqs.push(0);
    }
    return index + 1;
  }
}

export function readKeyList(list: Uint8Array): ListKey[] {
  const keys: ListKey[] = [];
  const cursor = new KeyCursor(list);
  while (cursor.next()) keys.push({ counter: cursor.counter, seq: cursor.seq as Seq, value: cursor.value });
  return keys;
}

export function writeKeyList(keys: readonly ListKey[]): Uint8Array {
  return extendedKeyList(new Uint8Array(), new KeyCursor(new Uint8Array()), keys);
}

/** @param cursor at the end of the list; it cannot be used any more. The keys are above all of it. */
export function extendedKeyList(list: Uint8Array, cursor: KeyCursor, keys: readonly ListKey[]): Uint8Array {
  const out = new GrowingWriter(list.length + 4 * keys.length + 16);
  out.copy(list, 0, list.length);
  let last = cursor.counter;
  for (const { counter, seq, value } of keys) {
    out.varint(2 * (counter - last) + (value === null ? 0 : 1));
    const of = value === null ? 0 : writeValue(out, cursor, value);
    out.signed(seq - cursor.seqs[of]!);
    cursor.seqs[of] = seq;
    last = counter;
  }
  return out.written();
}

/** Few values per list, so a scan beats a map. */
function writeValue(out: GrowingWriter, { values, seqs }: KeyCursor, value: Uint8Array): number {
  const known = values.findIndex((one) => Buffer.compare(one, value) === 0);
  if (known !== -1) {
    out.varint(known);
    return known + 1;
  }
  out.varint(values.length);
  out.varint(value.length);
  out.copy(value, 0, value.length);
  seqs.push(0);
  return values.push(value);
}

/** As many keys as have room in so many bytes, but so many at least; and the others. */
export function cutKeyList(list: Uint8Array, bytesMax: number, countMin: number): [Uint8Array, ListKey[]] {
  const cursor = new KeyCursor(list);
  let bytes = 0;
  let count = 0;
  while (cursor.next() && (cursor.bytes <= bytesMax || count < countMin)) {
    bytes = cursor.bytes;
    count++;
  }
  return [list.subarray(0, bytes), readKeyList(list).slice(count)];
}
