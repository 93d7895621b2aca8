/**
 * A leaf of a stream's index of keys that end in a counter: lists of keys by rising prefix.
 *
 *     page     (prefix | bytes of the list | list of keys)…                  the list: key-list.ts
 *     prefix   characters shared with the start of the one before | with its end | str8 what is between
 *
 * Numbers are varints. A prefix whose keys do not fit goes on in the next page.
 */
import type { CountedKey } from "../../encoding/counted-key.ts";
import { asBuffer, ByteReader } from "../../encoding/byte-reader.ts";
import { GrowingWriter } from "../../encoding/byte-writer.ts";
import type { KeyHit, Seq } from "../../types.ts";
import { cutKeyList, KeyCursor, readKeyList, writeKeyList } from "./key-list.ts";

/** The keys of one prefix, as written. There is one at least. */
export type PrefixList = { prefix: string; list: Uint8Array };
export type PageKey = CountedKey & KeyHit;

/** Where the lowest page of a stream begins: no key is below it. */
export const LOWEST_PAGE: CountedKey = { prefix: "", counter: 0 };

/**
 * Of a page with the prefix that its row has. With what else is in the row it fills two overflow pages of 508 bytes,
 * and the 102 bytes that SQLite keeps of such a row in its tree: another size leaves a part of one empty.
 */
export const KEY_PAGE_BYTES_MAX = 1101;
/** Of equal pages: for prefixes that are written twice then, so that the last one has room for what is left. */
const SPLIT_SLACK = 110;
/** Of the length of a list that is not longer than a page. */
const LENGTH_BYTES = 2;

/** In the order of SQLite's text: prefixes are ASCII. */
export function compareKeys(a: CountedKey, b: CountedKey): number {
  if (a.prefix !== b.prefix) return a.prefix < b.prefix ? -1 : 1;
  return a.counter - b.counter;
}

/** @throws RangeError where the bytes are not a page. */
export function readLists(page: Uint8Array): PrefixList[] {
  const reader = new ByteReader(asBuffer(page));
  const lists: PrefixList[] = [];
  while (reader.pos < reader.end) {
    const before = lists.at(-1)?.prefix;
    const prefix = readPrefix(reader, before ?? "");
    if (before !== undefined && prefix <= before) throw new RangeError("prefixes do not rise");
    const bytes = reader.varint();
    const at = reader.skip(bytes);
    if (bytes === 0) throw new RangeError("a prefix without keys");
    lists.push({ prefix, list: reader.bytes.subarray(at, at + bytes) });
  }
  return lists;
}

function readPrefix(reader: ByteReader, before: string): string {
  const start = reader.varint();
  const end = reader.varint();
  if (start + end > before.length)
    throw new RangeError(`a prefix shares ${start + end} of ${before.length} characters`);
  return before.slice(0, start) + reader.str8() + before.slice(before.length - end);
}

export function readKeyPage(page: Uint8Array): PageKey[] {
  return readLists(page).flatMap(({ prefix, list }) =>
    readKeyList(list).map(({ counter, seq, value }) => ({ prefix, counter, seq, value })),
  );
}

export type WrittenPage = { start: CountedKey; page: Uint8Array };

/**
 * What lists become: one page, or as many as they need. Full ones where keys were added at the end, since counters
 * usually rise; else about equal ones, but a list that is most of a page comes to be at the end of its own, where it
 * grows.
 * @param lists by rising prefix
 */
export function pagesOf(lists: readonly PrefixList[], isGrowing: boolean): WrittenPage[] {
  if (isGrowing || lists.length === 0) return cutPages(lists, KEY_PAGE_BYTES_MAX);
  const start = startOf(lists[0]!);
  const { page } = cutPage(lists, Infinity);
  const bytes = start.prefix.length + page.length;
  if (bytes <= KEY_PAGE_BYTES_MAX) return [{ start, page }];
  const behind = lists.findIndex(({ list }) => list.length > KEY_PAGE_BYTES_MAX / 2) + 1;
  if (behind > 0 && behind < lists.length)
    return [...cutPages(lists.slice(0, behind), KEY_PAGE_BYTES_MAX), ...pagesOf(lists.slice(behind), false)];
  return cutPages(lists, bytes / Math.ceil(bytes / (KEY_PAGE_BYTES_MAX - SPLIT_SLACK)) + SPLIT_SLACK);
}

function cutPages(lists: readonly PrefixList[], bytesMax: number): WrittenPage[] {
  const pages: WrittenPage[] = [];
  for (let left = lists; left.length > 0;) {
    const start = startOf(left[0]!);
    const { page, rest } = cutPage(left, bytesMax - start.prefix.length);
    pages.push({ start, page });
    left = rest;
  }
  return pages;
}

/** One key at least. */
function cutPage(lists: readonly PrefixList[], bytesMax: number): { page: Uint8Array; rest: readonly PrefixList[] } {
  const out = new GrowingWriter(KEY_PAGE_BYTES_MAX + 64);
  let before = "";
  for (const [index, { prefix, list }] of lists.entries()) {
    const bytes = out.pos;
    writePrefix(out, prefix, before);
    const room = bytesMax - out.pos - LENGTH_BYTES;
    if (list.length > room) {
      const [part, keys] = cutKeyList(list, room, index === 0 ? 1 : 0);
      if (part.length > 0) writeList(out, part);
      else out.pos = bytes;
      const cut = keys.length === 0 ? [] : [{ prefix, list: writeKeyList(keys) }];
      return { page: out.written(), rest: [...cut, ...lists.slice(index + 1)] };
    }
    writeList(out, list);
    before = prefix;
  }
  return { page: out.written(), rest: [] };
}

function writePrefix(out: GrowingWriter, prefix: string, before: string): void {
  const limit = Math.min(prefix.length, before.length);
  let start = 0;
  while (start < limit && prefix.charCodeAt(start) === before.charCodeAt(start)) start++;
  let end = 0;
  while (end < limit - start && prefix.at(-1 - end) === before.at(-1 - end)) end++;
  out.varint(start);
  out.varint(end);
  out.str8(prefix.slice(start, prefix.length - end));
}

function writeList(out: GrowingWriter, list: Uint8Array): void {
  out.varint(list.length);
  out.copy(list, 0, list.length);
}

function startOf({ prefix, list }: PrefixList): CountedKey {
  const cursor = new KeyCursor(list);
  cursor.next();
  return { prefix, counter: cursor.counter };
}

/** Where a key points. Of the other prefixes no keys are read. */
export function findInLists(lists: readonly PrefixList[], { prefix, counter }: CountedKey): KeyHit | undefined {
  const found = lists.find((one) => one.prefix === prefix);
  if (found === undefined) return undefined;
  const cursor = new KeyCursor(found.list);
  while (cursor.next() && cursor.counter < counter);
  return cursor.counter === counter ? { seq: cursor.seq as Seq, value: cursor.value } : undefined;
}

/** The highest counter of a prefix; -1 when no list is of it. */
export function highestInLists(lists: readonly PrefixList[], prefix: string): number {
  const found = lists.find((one) => one.prefix === prefix);
  if (found === undefined) return -1;
  const cursor = new KeyCursor(found.list);
  while (cursor.next());
  return cursor.counter;
}
