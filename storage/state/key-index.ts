/**
 * Writing the two key tables within one flush. Changes of counted keys are gathered; `finish` sorts them and goes through the pages they concern, each read
 * once and written once. Hashed keys are written at once. Of a key that occurs twice the first stays.
 *
 * The pages of a stream are like the leaves of a B-tree: one has all keys from the one its row names up to the next row's. The lowest has the empty key, so that
 * nothing is below it; any other has its own first key, so that an erased key is in no row either. A page without keys has no row.
 */
import { countedKey, keyHash, type CountedKey } from "../segment/key-shape.ts";
import { VarWriter } from "../segment/varint.ts";
import type { SqlDatabase } from "../sqlite.ts";
import type { KeyHit, Seq } from "../types.ts";
import { compareKeys, LOWEST_PAGE, writeKeyPage, type PageKey } from "./key-page.ts";
import { aloneKey, findKeyPage, keysOfHash, keysOfPage, nextKeyPage } from "./key-reader.ts";
import { rowCrc } from "./row-crc.ts";

/** Whether the entry at a seq was erased, though its key is still in the index: then that gives way. Undefined: the key goes. */
type Change = PageKey & { isGone: ((seq: number) => boolean) | undefined };

/** `row`: where its row is now, if it has one. */
type Page = { streamNo: number; row: CountedKey | undefined; keys: PageKey[] };

export class KeyIndex {
  readonly #state: SqlDatabase;
  /** By stream and prefix. */
  readonly #changes = new Map<number, Map<string, Change[]>>();

  constructor(state: SqlDatabase) {
    this.#state = state;
  }

  /**
   * `value` of `hit` is null for the key of an entry; it must not change before `finish`.
   * @param isGone whether the entry at a seq was erased, though its key is still in the index: then that gives way
   */
  add(streamNo: number, key: string, { seq, value }: KeyHit, isGone: (seq: number) => boolean): void {
    const counted = countedKey(key);
    if (counted === undefined) return this.#addHashed(streamNo, key, { seq, value });
    this.#change(streamNo, { prefix: counted.prefix, counter: counted.counter, seq, value, isGone });
  }

  /** Takes the key of an erased entry away. */
  remove(streamNo: number, key: string, seq: number): void {
    const counted = countedKey(key);
    if (counted === undefined) {
      const sql = "DELETE FROM key_hash WHERE stream_no = ? AND hash = ? AND seq = ? AND alone IS NULL";
      this.#state.sql(sql).run(streamNo, keyHash(key), seq);
      return;
    }
    const { prefix, counter } = counted;
    this.#change(streamNo, { prefix, counter, seq: seq as Seq, value: null, isGone: undefined });
  }

  /** Writes the pages that change. */
  finish(): void {
    for (const [streamNo, byPrefix] of this.#changes) this.#changeStream(streamNo, sorted(byPrefix));
    this.#changes.clear();
  }

  #change(streamNo: number, change: Change): void {
    let ofStream = this.#changes.get(streamNo);
    if (ofStream === undefined) this.#changes.set(streamNo, (ofStream = new Map()));
    const ofPrefix = ofStream.get(change.prefix);
    if (ofPrefix === undefined) ofStream.set(change.prefix, [change]);
    else ofPrefix.push(change);
  }

  #changeStream(streamNo: number, changes: readonly Change[]): void {
    for (let at = 0; at < changes.length;) {
      const found = findKeyPage(this.#state, streamNo, changes[at]!);
      const row = found && { prefix: found.prefix, counter: found.first };
      const page = { streamNo, row, keys: found === undefined ? [] : keysOfPage(this.#state, found) };
      const end = this.#endInPage(page, changes, at);
      this.#changePage(page, changes.slice(at, end));
      at = end;
    }
  }

  /** How far the changes from `at` on are for this page. */
  #endInPage({ streamNo, row, keys }: Page, changes: readonly Change[], at: number): number {
    const last = keys.at(-1);
    let end = at;
    while (last !== undefined && end < changes.length && compareKeys(changes[end]!, last) <= 0) end++;
    if (end === changes.length) return end;
    const next = nextKeyPage(this.#state, streamNo, row ?? LOWEST_PAGE);
    while (end < changes.length && (next === undefined || compareKeys(changes[end]!, next) < 0)) end++;
    return end;
  }

  #changePage(page: Page, changes: readonly Change[]): void {
    const { keys, isChanged } = changed(page.keys, changes);
    if (!isChanged) return;
    const { streamNo, row } = page;
    const isLowest = row === undefined || compareKeys(row, LOWEST_PAGE) === 0;
    const first = isLowest ? LOWEST_PAGE : keys[0];
    if (row !== undefined && (keys.length === 0 || compareKeys(row, first!) !== 0)) this.#drop(streamNo, row);
    const last = page.keys.at(-1);
    this.#write(streamNo, keys, first, last === undefined || compareKeys(last, changes[0]!) < 0);
  }

  /** Keys that grow at their end fill pages, since counters usually rise; others are halved until they have room. */
  #write(streamNo: number, keys: readonly PageKey[], first: CountedKey | undefined, isGrowing: boolean): void {
    for (let at = 0; at < keys.length;) {
      const { page, end } = writeKeyPage(keys, at);
      const start = at === 0 ? first! : keys[at]!;
      if (end < keys.length && !isGrowing) {
        const half = keys.length >> 1;
        this.#write(streamNo, keys.slice(0, half), first, false);
        return this.#write(streamNo, keys.slice(half), keys[half], false);
      }
      const row = [streamNo, start.prefix, start.counter, page] as const;
      this.#state.sql("INSERT OR REPLACE INTO key_page VALUES (?, ?, ?, ?, ?)").run(...row, rowCrc("key_page", row));
      at = end;
    }
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
function sorted(byPrefix: Map<string, Change[]>): Change[] {
  const prefixes = [...byPrefix].sort(([a], [b]) => (a < b ? -1 : 1));
  return prefixes.flatMap(([, changes]) => changes.sort((a, b) => a.counter - b.counter));
}

function changed(before: readonly PageKey[], changes: readonly Change[]): { keys: PageKey[]; isChanged: boolean } {
  const keys: PageKey[] = [];
  let isChanged = false;
  let at = 0;
  for (const change of changes) {
    while (at < before.length && compareKeys(before[at]!, change) <= 0) keys.push(before[at++]!);
    if (changeLast(keys, change)) isChanged = true;
  }
  while (at < before.length) keys.push(before[at++]!);
  return { keys, isChanged };
}

/** @param keys those up to the changed one. @returns whether there was anything to change */
function changeLast(keys: PageKey[], change: Change): boolean {
  const last = keys.at(-1);
  const known = last !== undefined && compareKeys(last, change) === 0 ? last : undefined;
  const { isGone } = change;
  if (known === undefined) {
    if (isGone !== undefined) keys.push(change);
    return isGone !== undefined;
  }
  if (known.value !== null || !(isGone?.(known.seq) ?? known.seq === change.seq)) return false;
  keys.pop();
  if (isGone !== undefined) keys.push(change);
  return true;
}

function aloneBytes(key: string, value: Uint8Array): Uint8Array {
  const out = new VarWriter(1 + key.length + value.length);
  out.str8(key);
  out.copy(value, 0, value.length);
  return out.written();
}
