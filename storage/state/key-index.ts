/**
 * Writing the two key tables within one flush. Pages of counted keys are read once, changed in memory and written by `finish`; hashed keys are written
 * at once. Of a key that occurs twice the first stays.
 */
import { countedKey, keyHash, type CountedKey } from "../segment/key-shape.ts";
import { VarWriter } from "../segment/varint.ts";
import type { SqlDatabase } from "../sqlite.ts";
import type { KeyHit } from "../types.ts";
import { keyPosition, KEYS_PER_PAGE_MAX, writeKeyPage, type PageKey } from "./key-page.ts";
import { checkedRow, rowCrc } from "./row-crc.ts";
import { type KeyPageRow, OPEN_PAGE } from "./state-file.ts";
import { aloneKey, findClosedKeyPage, findOpenKeyPage, keysOfHash, keysOfPage } from "./state-reader.ts";

/** `row`: what its row has as `first` by now, undefined for a page without a row. */
type Page = {
  streamNo: number;
  prefix: string;
  row: number | undefined;
  keys: PageKey[];
  isChanged: boolean;
  siblings: Page[];
};

export class KeyIndex {
  readonly #state: SqlDatabase;
  /** Pages of a stream and prefix that were read, rising, the open one last; what lies between two of them may be on others. */
  readonly #pages = new Map<string, Page[]>();

  constructor(state: SqlDatabase) {
    this.#state = state;
  }

  /**
   * `value` of `hit` is null for the key of an entry.
   * @param isGone whether the entry at a seq was erased, though its key is still in the index: then that gives way
   */
  add(streamNo: number, key: string, hit: KeyHit, isGone: (seq: number) => boolean): void {
    const counted = countedKey(key);
    if (counted === undefined) return this.#addHashed(streamNo, key, hit);
    const page = this.#pageFor(streamNo, counted);
    const at = keyPosition(page.keys, counted.counter);
    const known = page.keys[at];
    const isKnown = known?.counter === counted.counter;
    if (isKnown && (known.hit.value !== null || !isGone(known.hit.seq))) return;
    page.keys.splice(at, isKnown ? 1 : 0, { counter: counted.counter, hit });
    page.isChanged = true;
    if (page.keys.length > KEYS_PER_PAGE_MAX) this.#split(page, at);
  }

  /** Takes the key of an erased entry away. */
  remove(streamNo: number, key: string, seq: number): void {
    const counted = countedKey(key);
    if (counted === undefined) {
      const sql = "DELETE FROM key_hash WHERE stream_no = ? AND hash = ? AND seq = ? AND alone IS NULL";
      this.#state.sql(sql).run(streamNo, keyHash(key), seq);
      return;
    }
    const page = this.#pageFor(streamNo, counted);
    const at = keyPosition(page.keys, counted.counter);
    const found = page.keys[at];
    if (found?.counter !== counted.counter || found.hit.value !== null || found.hit.seq !== seq) return;
    page.keys.splice(at, 1);
    page.isChanged = true;
  }

  /** Writes the pages that changed. */
  finish(): void {
    const changed = [...this.#pages.values()].flat().filter((page) => page.isChanged);
    if (changed.length === 0) return;
    const drop = this.#state.sql("DELETE FROM key_page WHERE stream_no = ? AND prefix = ? AND first = ?");
    const put = this.#state.sql("INSERT OR REPLACE INTO key_page VALUES (?, ?, ?, ?, ?)");
    for (const page of changed) {
      if (page.row !== undefined && page.row !== rowFor(page)) drop.run(page.streamNo, page.prefix, page.row);
    }
    for (const page of changed) {
      const first = rowFor(page);
      if (first === undefined) continue;
      const row = [page.streamNo, page.prefix, first, writeKeyPage(page.keys)] as const;
      put.run(...row, rowCrc("key_page", row));
    }
    this.#pages.clear();
  }

  #addHashed(streamNo: number, key: string, hit: KeyHit): void {
    for (const { alone } of keysOfHash(this.#state, streamNo, key)) {
      if (alone !== null && aloneKey(alone).key === key) return;
    }
    const row = [streamNo, keyHash(key), hit.seq, hit.value === null ? null : aloneBytes(key, hit.value)] as const;
    this.#state.sql("INSERT OR IGNORE INTO key_hash VALUES (?, ?, ?, ?, ?)").run(...row, rowCrc("key_hash", row));
  }

  /** The page that has the counter, or takes it: the one before it, else the first of all. */
  #pageFor(streamNo: number, counted: CountedKey): Page {
    const known = this.#knownPages(streamNo, counted.prefix);
    const open = known.at(-1)!;
    const isOnly = open.row === undefined && known.length === 1;
    if (isOnly || (open.keys[0]?.counter ?? Infinity) <= counted.counter) return open;
    const row = findClosedKeyPage(this.#state, streamNo, counted) ?? this.#firstClosed(streamNo, counted.prefix);
    const near = known.findLast((page) => (page.keys[0]?.counter ?? Infinity) <= counted.counter);
    if (near !== undefined && (row === undefined || row.first <= near.keys[0]!.counter)) return near;
    if (row === undefined) return known[0]!;
    return known.find((page) => page.row === row.first) ?? this.#read(known, streamNo, counted.prefix, row);
  }

  /** Among them always the open one, which is the last, so that a counter that rises needs no search. */
  #knownPages(streamNo: number, prefix: string): Page[] {
    const name = `${streamNo} ${prefix}`;
    let known = this.#pages.get(name);
    if (known === undefined) {
      this.#pages.set(name, (known = []));
      this.#read(known, streamNo, prefix, findOpenKeyPage(this.#state, streamNo, prefix));
    }
    return known;
  }

  #firstClosed(streamNo: number, prefix: string): KeyPageRow | undefined {
    const sql = "SELECT * FROM key_page WHERE stream_no = ? AND prefix = ? AND first >= 0 ORDER BY first LIMIT 1";
    const row = this.#state.sql(sql).get<KeyPageRow>(streamNo, prefix);
    return row && checkedRow(this.#state, "key_page", row);
  }

  #read(known: Page[], streamNo: number, prefix: string, row: KeyPageRow | undefined): Page {
    const keys = row === undefined ? [] : keysOfPage(this.#state, row);
    const page = { streamNo, prefix, row: row?.first, keys, isChanged: false, siblings: known };
    known.push(page);
    known.sort((a, b) => (a.keys[0]?.counter ?? Infinity) - (b.keys[0]?.counter ?? Infinity));
    return page;
  }

  /** A page that grew at its end stays full and a new one begins: counters usually rise. */
  #split(page: Page, at: number): void {
    const from = at === page.keys.length - 1 ? at : page.keys.length >> 1;
    const { siblings } = page;
    const upper: Page = { ...page, row: undefined, keys: page.keys.splice(from), isChanged: true };
    siblings.splice(siblings.indexOf(page) + 1, 0, upper);
  }
}

/** The open page stays, be it empty: it says that there may be others. */
function rowFor({ keys, siblings }: Page): number | undefined {
  return siblings.at(-1)?.keys === keys ? OPEN_PAGE : keys[0]?.counter;
}

function aloneBytes(key: string, value: Uint8Array): Uint8Array {
  const out = new VarWriter(1 + key.length + value.length);
  out.str8(key);
  out.copy(value, 0, value.length);
  return out.written();
}
