/**
 * A run: entries of one lane, rising. What a block has many of, and what a tail is one of.
 *
 *     run      str8 lane | entries | seq | seq step… | offset | offset step… | prefixes | (str8)… | key… | payload bytes… | payloads
 *     key      0: none | 1, str8: in full | 2 + index of a prefix, signed step of the counter from the one before with that prefix
 *     str8     u8 length | ASCII
 *
 * Numbers not marked u8 are varints. Column by column, since like beside like packs better: 4 % less than entry by
 * entry with zstd. An erased entry (a *tombstone*) has no key and no payload.
 */
import type { Offset, Seq } from "../types.ts";
import { countedKey } from "./counted-key.ts";
import { ByteReader } from "./byte-reader.ts";
import type { GrowingWriter } from "./byte-writer.ts";

/** `key` is "" for none. `bytes[start, start + length)` is the payload. */
export type Item = { seq: Seq; offset: Offset; key: string; bytes: Buffer; start: number; length: number };
export type Run = { lane: string; items: Item[] };

const KEY_NONE = 0;
const KEY_IN_FULL = 1;
const KEY_COUNTED = 2;

export function writeRun(out: GrowingWriter, lane: string, items: Item[]): void {
  out.str8(lane);
  out.varint(items.length);
  writeSteps(out, items, (item) => item.seq);
  writeSteps(out, items, (item) => item.offset);
  writeKeys(out, items);
  for (const { length } of items) out.varint(length);
  for (const { bytes, start, length } of items) out.copy(bytes, start, start + length);
}

/** Rising numbers. */
export function writeSteps(out: GrowingWriter, items: readonly Item[], valueOf: (item: Item) => number): void {
  let last = 0;
  for (const item of items) {
    const value = valueOf(item);
    out.varint(value - last);
    last = value;
  }
}

/** "" for none; those that end in a counter as steps from the one before with their prefix. */
export function writeKeys(out: GrowingWriter, items: readonly Item[]): void {
  const counted = items.map((item) => (item.key === "" ? undefined : countedKey(item.key)));
  const prefixes = new Map<string, { index: number; last: number }>();
  for (const key of counted) {
    if (key !== undefined && !prefixes.has(key.prefix)) prefixes.set(key.prefix, { index: prefixes.size, last: 0 });
  }
  out.varint(prefixes.size);
  for (const prefix of prefixes.keys()) out.str8(prefix);
  items.forEach((item, i) => {
    const key = counted[i];
    if (key !== undefined) {
      const prefix = prefixes.get(key.prefix)!;
      out.varint(KEY_COUNTED + prefix.index);
      out.signed(key.counter - prefix.last);
      prefix.last = key.counter;
    } else if (item.key === "") out.varint(KEY_NONE);
    else {
      out.varint(KEY_IN_FULL);
      out.str8(item.key);
    }
  });
}

/** Decodes the run in `bytes[at, end)`; its items point into `bytes`. @throws RangeError where that is not a run. */
export function readRun(bytes: Buffer, at: number, end: number): Run {
  const reader = new ByteReader(bytes, at, end);
  const lane = reader.str8();
  const count = reader.varint();
  if (count > end - at) throw new RangeError(`a run of ${count} entries in ${end - at} bytes`);
  const seqs = readSteps(reader, count);
  const offsets = readSteps(reader, count);
  const keys = readKeys(reader, count);
  const lengths = Array.from({ length: count }, () => reader.varint());
  const items = lengths.map((length, i): Item => {
    return {
      seq: seqs[i] as Seq,
      offset: offsets[i] as Offset,
      key: keys[i]!,
      bytes,
      start: reader.skip(length),
      length,
    };
  });
  if (reader.pos !== end) throw new RangeError("a run ends before its bytes do");
  return { lane, items };
}

export function readSteps(reader: ByteReader, count: number): number[] {
  const values: number[] = [];
  for (let i = 0, last = 0; i < count; i++) values.push((last += reader.varint()));
  return values;
}

export function readKeys(reader: ByteReader, count: number): string[] {
  const prefixes = Array.from({ length: reader.varint() }, () => ({ text: reader.str8(), last: 0 }));
  const keys: string[] = [];
  for (let i = 0; i < count; i++) {
    const kind = reader.varint();
    if (kind === KEY_NONE) keys.push("");
    else if (kind === KEY_IN_FULL) keys.push(reader.str8());
    else {
      const prefix = prefixes[kind - KEY_COUNTED];
      if (prefix === undefined) throw new RangeError(`a key of prefix ${kind - KEY_COUNTED} of ${prefixes.length}`);
      prefix.last += reader.signed();
      keys.push(`${prefix.text}${prefix.last}`);
    }
  }
  return keys;
}

/** Bytes that an item takes in a run, about. */
export function runBytes(item: Item): number {
  return 6 + item.key.length + item.length;
}

/** The same entry without what it said. */
export function tombstone(item: Item): Item {
  return { ...item, key: "", start: 0, length: 0 };
}

export function isTombstone(item: Item): boolean {
  return item.length === 0 && item.key === "";
}
