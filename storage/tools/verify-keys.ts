/**
 * The keys of a shard's placed entries: each is found in the index, and the index names no entry that has not that key.
 *
 * Of a key that occurs twice the index keeps the first; one that was set alone wins over later entries. An entry that is to be erased may have lost its place
 * in the index already.
 */
import { countedKey, keyHash, type CountedKey } from "../segment/key-shape.ts";
import type { SqlDatabase } from "../sqlite.ts";
import { keyPosition, type PageKey } from "../state/key-page.ts";
import { OPEN_PAGE, type KeyHashRow, type KeyPageRow } from "../state/state-file.ts";
import { aloneKey, keysOfHash, keysOfPage } from "../state/state-reader.ts";
import type { Fault } from "./verify-rows.ts";

/** Pages that are kept decoded: entries of one lane have neighbouring keys. */
const PAGES_KEPT_MAX = 2000;

export class KeyCheck {
  readonly #state: SqlDatabase;
  readonly #fault: Fault;
  readonly #pages = new Map<string, PageKey[]>();
  /** First counters of closed pages by stream and prefix, rising: asking SQLite for each key would cost ten times as much as all the rest. */
  readonly #closed = new Map<string, number[]>();
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
    let before: { row: KeyPageRow; last: number } | undefined;
    const pages = this.#state.sql("SELECT * FROM key_page ORDER BY stream_no, prefix, first = ?, first");
    for (const row of pages.all<KeyPageRow>(OPEN_PAGE)) {
      const keys = keysOfPage(this.#state, row);
      const place = `table key_page, row ${row.stream_no}/${row.prefix}/${row.first}`;
      const isSame = before?.row.stream_no === row.stream_no && before.row.prefix === row.prefix;
      if (!isSame && before !== undefined) this.#checkClosed(before.row);
      if (row.first !== OPEN_PAGE) this.#addClosed(`${row.stream_no}/${row.prefix}`, row.first);
      if (row.first !== OPEN_PAGE && keys[0]?.counter !== row.first) this.#fault(place, "its first key is another");
      const after = isSame ? before!.last : -1;
      if (!isRising(keys, after)) this.#fault(place, "its keys do not rise");
      before = { row, last: keys.at(-1)?.counter ?? after };
      this.#count(keys.filter(({ hit }) => hit.value === null).length, keys.length);
    }
    if (before !== undefined) this.#checkClosed(before.row);
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

  #addClosed(name: string, first: number): void {
    const known = this.#closed.get(name);
    if (known === undefined) this.#closed.set(name, [first]);
    else known.push(first);
  }

  #checkClosed({ stream_no, prefix, first }: KeyPageRow): void {
    if (first !== OPEN_PAGE)
      this.#fault(`table key_page, row ${stream_no}/${prefix}/${first}`, "the page that grows is missing behind it");
  }

  /** The seq that the index names, "alone" for a key set alone. */
  #counted(streamNo: number, { prefix, counter }: CountedKey): number | "alone" | undefined {
    const open = this.#page(streamNo, prefix, OPEN_PAGE);
    if (open === undefined) return undefined;
    const isInOpen = (open[0]?.counter ?? Infinity) <= counter;
    const closed = isInOpen ? undefined : lastUpTo(this.#closed.get(`${streamNo}/${prefix}`) ?? [], counter);
    const keys = isInOpen ? open : closed === undefined ? undefined : this.#page(streamNo, prefix, closed);
    const found = keys?.[keyPosition(keys, counter)];
    if (found?.counter !== counter) return undefined;
    return found.hit.value === null ? found.hit.seq : "alone";
  }

  #page(streamNo: number, prefix: string, first: number): PageKey[] | undefined {
    const name = `${streamNo}/${first}/${prefix}`;
    const known = this.#pages.get(name);
    if (known !== undefined) return known;
    const sql = this.#state.sql("SELECT * FROM key_page WHERE stream_no = ? AND prefix = ? AND first = ?");
    const row = sql.get<KeyPageRow>(streamNo, prefix, first);
    if (row === undefined) return undefined;
    if (this.#pages.size >= PAGES_KEPT_MAX) this.#pages.clear();
    const keys = keysOfPage(this.#state, row);
    this.#pages.set(name, keys);
    return keys;
  }

  #hashed(streamNo: number, key: string, seq: number): "this" | "alone" | undefined {
    const rows = keysOfHash(this.#state, streamNo, key);
    if (rows.some((row) => row.alone === null && row.seq === seq && row.hash === keyHash(key))) return "this";
    return rows.some(({ alone }) => alone !== null && aloneKey(alone).key === key) ? "alone" : undefined;
  }
}

/** The highest of rising numbers that is not above `limit`. */
function lastUpTo(numbers: readonly number[], limit: number): number | undefined {
  let low = 0;
  for (let high = numbers.length; low < high;) {
    const middle = (low + high) >>> 1;
    if (numbers[middle]! > limit) high = middle;
    else low = middle + 1;
  }
  return numbers[low - 1];
}

function isRising(keys: readonly PageKey[], after: number): boolean {
  let last = after;
  for (const { counter } of keys) {
    if (counter <= last) return false;
    last = counter;
  }
  return true;
}
