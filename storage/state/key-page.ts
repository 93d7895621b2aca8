/**
 * A leaf of a stream's index of keys that end in a counter: runs of keys by rising prefix.
 *
 *     page     run of a prefix…
 *     of a prefix   characters it shares with the start of the one before | with the end | str8 what is between | bytes of the run | run (key-run.ts)
 *
 * Numbers are varints. A prefix whose keys do not fit goes on in the next page.
 */
import type { CountedKey } from "../segment/key-shape.ts";
import { asBuffer, VarReader, VarWriter } from "../segment/varint.ts";
import type { KeyHit, Seq } from "../types.ts";
import { cutKeyRun, KeyCursor, readKeyRun, writeKeyRun } from "./key-run.ts";

/** The keys of one prefix, as written. There is one at least. */
export type PrefixRun = { prefix: string; run: Uint8Array };
export type PageKey = CountedKey & KeyHit;

/** Where the lowest page of a stream begins: no key is below it. */
export const LOWEST_PAGE: CountedKey = { prefix: "", counter: 0 };

/**
 * Of a page with the prefix that its row has. With what else is in the row it fills two overflow pages of 508 bytes, and the 102 bytes that SQLite keeps
 * of such a row in its tree: another size leaves a part of one empty.
 */
export const KEY_PAGE_BYTES_MAX = 1101;
/** Of equal pages: for prefixes that are written twice then, so that the last one has room for what is left. */
const SPLIT_SLACK = 110;
/** Of the length of a run that is not longer than a page. */
const LENGTH_BYTES = 2;

/** In the order of SQLite's text: prefixes are ASCII. */
export function compareKeys(a: CountedKey, b: CountedKey): number {
  if (a.prefix !== b.prefix) return a.prefix < b.prefix ? -1 : 1;
  return a.counter - b.counter;
}

/** @throws RangeError where the bytes are not a page. */
export function readRuns(page: Uint8Array): PrefixRun[] {
  const reader = new VarReader(asBuffer(page));
  const runs: PrefixRun[] = [];
  while (reader.pos < reader.end) {
    const before = runs.at(-1)?.prefix;
    const prefix = readPrefix(reader, before ?? "");
    if (before !== undefined && prefix <= before) throw new RangeError("prefixes do not rise");
    const bytes = reader.varint();
    const at = reader.skip(bytes);
    if (bytes === 0) throw new RangeError("a prefix without keys");
    runs.push({ prefix, run: reader.bytes.subarray(at, at + bytes) });
  }
  return runs;
}

function readPrefix(reader: VarReader, before: string): string {
  const start = reader.varint();
  const end = reader.varint();
  if (start + end > before.length)
    throw new RangeError(`a prefix shares ${start + end} of ${before.length} characters`);
  return before.slice(0, start) + reader.str8() + before.slice(before.length - end);
}

export function readKeyPage(page: Uint8Array): PageKey[] {
  return readRuns(page).flatMap(({ prefix, run }) =>
    readKeyRun(run).map(({ counter, seq, value }) => ({ prefix, counter, seq, value })),
  );
}

export type WrittenPage = { start: CountedKey; page: Uint8Array };

/**
 * What runs become: one page, or as many as they need. Full ones where keys were added at the end, since counters usually rise; else about equal ones, but a
 * run that is most of a page comes to be at the end of its own, where it grows.
 * @param runs by rising prefix
 */
export function pagesOf(runs: readonly PrefixRun[], isGrowing: boolean): WrittenPage[] {
  if (isGrowing || runs.length === 0) return cutPages(runs, KEY_PAGE_BYTES_MAX);
  const start = startOf(runs[0]!);
  const { page } = takePage(runs, Infinity);
  const bytes = start.prefix.length + page.length;
  if (bytes <= KEY_PAGE_BYTES_MAX) return [{ start, page }];
  const behind = runs.findIndex(({ run }) => run.length > KEY_PAGE_BYTES_MAX / 2) + 1;
  if (behind > 0 && behind < runs.length)
    return [...cutPages(runs.slice(0, behind), KEY_PAGE_BYTES_MAX), ...pagesOf(runs.slice(behind), false)];
  return cutPages(runs, bytes / Math.ceil(bytes / (KEY_PAGE_BYTES_MAX - SPLIT_SLACK)) + SPLIT_SLACK);
}

function cutPages(runs: readonly PrefixRun[], bytesMax: number): WrittenPage[] {
  const pages: WrittenPage[] = [];
  for (let left = runs; left.length > 0;) {
    const start = startOf(left[0]!);
    const { page, rest } = takePage(left, bytesMax - start.prefix.length);
    pages.push({ start, page });
    left = rest;
  }
  return pages;
}

/** One key at least. */
function takePage(runs: readonly PrefixRun[], bytesMax: number): { page: Uint8Array; rest: readonly PrefixRun[] } {
  const out = new VarWriter(KEY_PAGE_BYTES_MAX + 64);
  let before = "";
  for (const [index, { prefix, run }] of runs.entries()) {
    const bytes = out.pos;
    writePrefix(out, prefix, before);
    const room = bytesMax - out.pos - LENGTH_BYTES;
    if (run.length > room) {
      const [part, keys] = cutKeyRun(run, room, index === 0 ? 1 : 0);
      if (part.length > 0) writeRun(out, part);
      else out.pos = bytes;
      const cut = keys.length === 0 ? [] : [{ prefix, run: writeKeyRun(keys) }];
      return { page: out.written(), rest: [...cut, ...runs.slice(index + 1)] };
    }
    writeRun(out, run);
    before = prefix;
  }
  return { page: out.written(), rest: [] };
}

function writePrefix(out: VarWriter, prefix: string, before: string): void {
  const limit = Math.min(prefix.length, before.length);
  let start = 0;
  while (start < limit && prefix.charCodeAt(start) === before.charCodeAt(start)) start++;
  let end = 0;
  while (end < limit - start && prefix.at(-1 - end) === before.at(-1 - end)) end++;
  out.varint(start);
  out.varint(end);
  out.str8(prefix.slice(start, prefix.length - end));
}

function writeRun(out: VarWriter, run: Uint8Array): void {
  out.varint(run.length);
  out.copy(run, 0, run.length);
}

function startOf({ prefix, run }: PrefixRun): CountedKey {
  const cursor = new KeyCursor(run);
  cursor.next();
  return { prefix, counter: cursor.counter };
}

/** Where a key points. Of the other prefixes no keys are read. */
export function findInRuns(runs: readonly PrefixRun[], { prefix, counter }: CountedKey): KeyHit | undefined {
  const found = runs.find((one) => one.prefix === prefix);
  if (found === undefined) return undefined;
  const cursor = new KeyCursor(found.run);
  while (cursor.next() && cursor.counter < counter);
  return cursor.counter === counter ? { seq: cursor.seq as Seq, value: cursor.value } : undefined;
}
