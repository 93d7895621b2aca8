/**
 * Writing the two key tables within one flush. Changes of counted keys are gathered; `finish` sorts them and goes
 * through the pages they concern, each read once and written once. Hashed keys are written at once. Of a key that
 * occurs twice the first stays.
 *
 * The pages of a stream are like the leaves of a B-tree: one has all keys from where its row says up to where the next
 * row says. The lowest begins with the empty key, so that nothing is below it; any other with its own first key, so
 * that an erased key is in no row either. A page without keys has no row.
 */
import { countedKey, keyHash, type CountedKey } from "../../encoding/counted-key.ts";
import { GrowingWriter } from "../../encoding/byte-writer.ts";
import type { SqlDatabase } from "../sqlite/database.ts";
import type { KeyHit, Seq } from "../../types.ts";
import { changedLists, type KeyChange } from "./key-changes.ts";
import { compareKeys, LOWEST_PAGE, pagesOf, type PrefixList } from "./key-page.ts";
import { aloneKey, findKeyPage, keysOfHash, nextKeyPage, listsOfPage } from "./key-reader.ts";
import { rowCrc } from "../sqlite/row-crc.ts";
import { decoded } from "./state-reader.ts";

/** `row`: where its row says that it begins, if it has one. */
type Page = { streamNo: number; row: CountedKey | undefined; lists: PrefixList[] };

/**
 * Made of a page in one go. A larger batch goes on with the last page that this one left, so that no work grows with
 * the square of it.
 */
const CHANGES_MAX = 1000;

export class KeyIndex {
  readonly #state: SqlDatabase;
  /** By stream and prefix. */
  readonly #changes = new Map<number, Map<string, KeyChange[]>>();

  constructor(state: SqlDatabase) {
    this.#state = state;
  }

  /**
   * `value` of `hit` is null for the key of an entry; its bytes must stay until `finish`.
   * @param isGone whether the entry at a seq was erased, though its key is still in the index: then that gives way
   */
  add(streamNo: number, key: string, hit: KeyHit, isGone: (seq: number) => boolean): void {
    const counted = countedKey(key);
    if (counted === undefined) this.#addHashed(streamNo, key, hit);
    else this.#change(streamNo, counted, hit, isGone);
  }

  /** Takes the key of an erased entry away. */
  remove(streamNo: number, key: string, seq: number): void {
    const counted = countedKey(key);
    if (counted === undefined) {
      const sql = "DELETE FROM key_hash WHERE stream_no = ? AND hash = ? AND seq = ? AND alone IS NULL";
      this.#state.sql(sql).run(streamNo, keyHash(key), seq);
    } else this.#change(streamNo, counted, { seq: seq as Seq, value: null }, undefined);
  }

  /** Writes the pages that change. */
  finish(): void {
    for (const [streamNo, byPrefix] of this.#changes) this.#changeStream(streamNo, sorted(byPrefix));
    this.#changes.clear();
  }

  #change(
    streamNo: number,
    { prefix, counter }: CountedKey,
    { seq, value }: KeyHit,
    isGone: KeyChange["isGone"],
  ): void {
    let ofStream = this.#changes.get(streamNo);
    if (ofStream === undefined) this.#changes.set(streamNo, (ofStream = new Map()));
    const change = { prefix, counter, seq, value, isGone };
    const ofPrefix = ofStream.get(prefix);
    if (ofPrefix === undefined) ofStream.set(prefix, [change]);
    else ofPrefix.push(change);
  }

  #changeStream(streamNo: number, changes: readonly KeyChange[]): void {
    for (let at = 0; at < changes.length;) {
      const found = findKeyPage(this.#state, streamNo, changes[at]!);
      const row = found && { prefix: found.prefix, counter: found.first };
      const page = { streamNo, row, lists: found === undefined ? [] : listsOfPage(this.#state, found) };
      const end = this.#endInPage(page, changes, at);
      this.#changePage(page, changes.slice(at, end));
      at = end;
    }
  }

  /** How far the changes from `at` on are for this page. */
  #endInPage({ streamNo, row, lists }: Page, changes: readonly KeyChange[], at: number): number {
    const last = lists.at(-1)?.prefix ?? "";
    const limit = Math.min(changes.length, at + CHANGES_MAX);
    let end = at;
    while (end < limit && changes[end]!.prefix < last) end++;
    if (end === limit) return end;
    const next = nextKeyPage(this.#state, streamNo, row ?? LOWEST_PAGE);
    while (end < limit && (next === undefined || compareKeys(changes[end]!, next) < 0)) end++;
    return end;
  }

  #changePage({ streamNo, row, lists: before }: Page, changes: readonly KeyChange[]): void {
    const pages = decoded(this.#state, "key_page", () => {
      const { lists, isChanged, isGrowing } = changedLists(before, changes);
      return isChanged ? pagesOf(lists, isGrowing) : undefined;
    });
    if (pages === undefined) return;
    if (pages[0] !== undefined && (row === undefined || compareKeys(row, LOWEST_PAGE) === 0))
      pages[0].start = LOWEST_PAGE;
    if (row !== undefined && (pages[0] === undefined || compareKeys(row, pages[0].start) !== 0))
      this.#drop(streamNo, row);
    for (const { start, page } of pages) this.#put(streamNo, start, page);
  }

  #put(streamNo: number, { prefix, counter }: CountedKey, page: Uint8Array): void {
    const row = [streamNo, prefix, counter, page] as const;
    this.#state.sql("INSERT OR REPLACE INTO key_page VALUES (?, ?, ?, ?, ?)").run(...row, rowCrc("key_page", row));
  }

  #drop(streamNo: number, { prefix, counter }: CountedKey): void {
    const sql = "DELETE FROM key_page WHERE stream_no = ? AND prefix = ? AND first = ?";
    this.#state.sql(sql).run(streamNo, prefix, counter);
  }

  #addHashed(streamNo: number, key: string, hit: KeyHit): void {
    for (const { alone } of keysOfHash(this.#state, streamNo, key)) {
      if (alone !== null && aloneKey(alone).key === key) return;
    }
    const row = [streamNo, keyHash(key), hit.seq, hit.value === null ? null : aloneBytes(key, hit.value)] as const;
    this.#state.sql("INSERT OR IGNORE INTO key_hash VALUES (?, ?, ?, ?, ?)").run(...row, rowCrc("key_hash", row));
  }
}

/** Rising; those of one key in the order they came. */
function sorted(byPrefix: Map<string, KeyChange[]>): KeyChange[] {
  const prefixes = [...byPrefix].sort(([a], [b]) => (a < b ? -1 : 1));
  return prefixes.flatMap(([, changes]) => changes.sort((a, b) => a.counter - b.counter));
}

function aloneBytes(key: string, value: Uint8Array): Uint8Array {
  const out = new GrowingWriter(1 + key.length + value.length);
  out.str8(key);
  out.copy(value, 0, value.length);
  return out.written();
}
