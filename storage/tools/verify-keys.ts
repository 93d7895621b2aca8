/**
 * The keys of a shard's placed entries: each is found in the index, and the index names no entry that has not that key.
 *
 * Of a key that occurs twice the index keeps the first; one that was set alone wins over later entries. An entry that
 * is to be erased may have lost its place in the index already.
 */
import { countedKey, keyHash, type CountedKey } from "../encoding/counted-key.ts";
import type { SqlDatabase } from "../files/sqlite/database.ts";
import { compareKeys, findInLists, LOWEST_PAGE, type PageKey, type PrefixList } from "../files/placed/key-page.ts";
import { aloneKey, keysOfHash, keysOfPage, listsOfPage } from "../files/placed/key-reader.ts";
import { type KeyHashRow, type KeyPageRow } from "../files/placed/state-file.ts";
import type { Fault } from "./verify-rows.ts";

/** About a kilobyte each: entries of one lane have neighbouring keys. */
const PAGES_KEPT_MAX = 2000;

export class KeyCheck {
  readonly #state: SqlDatabase;
  readonly #fault: Fault;
  readonly #pages = new Map<CountedKey, PrefixList[]>();
  /**
   * Where the pages of a stream begin, rising: asking SQLite for each key would cost ten times as much as all the rest.
   */
  readonly #starts = new Map<number, CountedKey[]>();
  /** Keys of entries that the index has, and those of them that were met in entries. */
  #inIndex = 0;
  #met = 0;
  /** All keys in the index. */
  count = 0;

  constructor(state: SqlDatabase, fault: Fault) {
    this.#state = state;
    this.#fault = fault;
  }

  /** The index as such. */
  readIndex(): void {
    let before: { streamNo: number; last: CountedKey | undefined } | undefined;
    const pages = this.#state.sql("SELECT * FROM key_page ORDER BY stream_no, prefix, first");
    for (const row of pages.each<KeyPageRow>()) {
      const keys = keysOfPage(this.#state, row);
      const start = { prefix: row.prefix, counter: row.first };
      this.#addStart(row.stream_no, start);
      const after = before?.streamNo === row.stream_no ? before.last : undefined;
      const what = faultOfPage(start, keys, after);
      if (what !== undefined) this.#fault(`table key_page, row ${row.stream_no}/${row.prefix}/${row.first}`, what);
      before = { streamNo: row.stream_no, last: keys.at(-1) };
      this.#count(keys.filter(({ value }) => value === null).length, keys.length);
    }
    for (const { alone } of this.#state.sql("SELECT * FROM key_hash").each<KeyHashRow>())
      this.#count(alone === null ? 1 : 0, 1);
  }

  /** A placed entry with a key. */
  entry(streamNo: number, seq: number, key: string, isToBeErased: boolean): void {
    const counted = countedKey(key);
    const hit = counted === undefined ? this.#hashed(streamNo, key, seq) : this.#counted(streamNo, counted);
    if (hit === "this" || (typeof hit === "number" && hit === seq)) this.#met++;
    else if (!isToBeErased && (hit === undefined || (typeof hit === "number" && hit > seq))) {
      this.#fault(
        `key ${JSON.stringify(key)} of seq ${seq}, stream number ${streamNo}`,
        hit === undefined ? "it cannot be found" : `it points to seq ${hit}`,
      );
    }
  }

  /** After all entries. */
  finish(): void {
    if (this.#met !== this.#inIndex)
      this.#fault("tables key_page and key_hash", `${this.#inIndex} keys of entries, ${this.#met} entries have them`);
  }

  #count(ofEntries: number, all: number): void {
    this.#inIndex += ofEntries;
    this.count += all;
  }

  #addStart(streamNo: number, start: CountedKey): void {
    const known = this.#starts.get(streamNo);
    if (known === undefined) this.#starts.set(streamNo, [start]);
    else known.push(start);
  }

  /** The seq that the index names, "alone" for a key set alone. */
  #counted(streamNo: number, key: CountedKey): number | "alone" | undefined {
    const start = lastUpTo(this.#starts.get(streamNo) ?? [], key);
    const found = start && findInLists(this.#page(streamNo, start), key);
    return found === undefined ? undefined : found.value === null ? found.seq : "alone";
  }

  #page(streamNo: number, start: CountedKey): PrefixList[] {
    const known = this.#pages.get(start);
    if (known !== undefined) return known;
    const sql = this.#state.sql("SELECT * FROM key_page WHERE stream_no = ? AND prefix = ? AND first = ?");
    const row = sql.get<KeyPageRow>(streamNo, start.prefix, start.counter)!;
    if (this.#pages.size >= PAGES_KEPT_MAX) this.#pages.clear();
    const lists = listsOfPage(this.#state, row);
    this.#pages.set(start, lists);
    return lists;
  }

  #hashed(streamNo: number, key: string, seq: number): "this" | "alone" | undefined {
    const rows = keysOfHash(this.#state, streamNo, key);
    if (rows.some((row) => row.alone === null && row.seq === seq && row.hash === keyHash(key))) return "this";
    return rows.some(({ alone }) => alone !== null && aloneKey(alone).key === key) ? "alone" : undefined;
  }
}

/** @param after the last key of the page before, in the same stream */
function faultOfPage(start: CountedKey, keys: readonly PageKey[], after: CountedKey | undefined): string | undefined {
  const [first] = keys;
  if (first === undefined) return "it has no keys";
  if (compareKeys(first, start) !== 0 && compareKeys(start, LOWEST_PAGE) !== 0) return "its first key is another";
  let last = after;
  for (const key of keys) {
    if (last !== undefined && compareKeys(key, last) <= 0) return "its keys do not rise";
    last = key;
  }
  return undefined;
}

/** The last of rising places that is not above `limit`. */
function lastUpTo(places: readonly CountedKey[], limit: CountedKey): CountedKey | undefined {
  let low = 0;
  for (let high = places.length; low < high;) {
    const middle = (low + high) >>> 1;
    if (compareKeys(places[middle]!, limit) > 0) high = middle;
    else low = middle + 1;
  }
  return places[low - 1];
}
