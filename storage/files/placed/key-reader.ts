/**
 * Questions to the key tables of a shard's state: one row for a key that ends in a counter, those of a hash for any
 * other. Every row is checked.
 *
 * Parameters stand behind a plus: beside ORDER BY, a bare one makes SQLite prepare the statement anew at each call
 * (docs/decisions/2026-11-21-no-order-by-bare-parameter.md).
 */
import { countedKey, COUNTER_MAX, keyHash, type CountedKey } from "../../encoding/counted-key.ts";
import { asBuffer, ByteReader } from "../../encoding/byte-reader.ts";
import type { SqlDatabase } from "../sqlite/database.ts";
import type { KeyHit } from "../../types.ts";
import { findInLists, highestInLists, type PageKey, type PrefixList, readKeyPage, readLists } from "./key-page.ts";
import { checkedRow, checkedRows } from "../sqlite/row-crc.ts";
import type { KeyHashRow, KeyPageRow } from "./state-file.ts";
import { decoded } from "./state-reader.ts";

/** The page that has the key, or would. */
export function findKeyPage(state: SqlDatabase, streamNo: number, key: CountedKey): KeyPageRow | undefined {
  const sql = `SELECT * FROM key_page WHERE stream_no = +? AND (prefix, first) <= (+?, +?)
    ORDER BY prefix DESC, first DESC LIMIT 1`;
  const row = state.sql(sql).get<KeyPageRow>(streamNo, key.prefix, key.counter);
  return row && checkedRow(state, "key_page", row);
}

/** Where the page behind that place begins. */
export function nextKeyPage(state: SqlDatabase, streamNo: number, after: CountedKey): CountedKey | undefined {
  const sql = `SELECT prefix, first AS counter FROM key_page WHERE stream_no = +? AND (prefix, first) > (+?, +?)
    ORDER BY prefix, first LIMIT 1`;
  return state.sql(sql).get<CountedKey>(streamNo, after.prefix, after.counter);
}

export function listsOfPage(state: SqlDatabase, row: KeyPageRow): PrefixList[] {
  return decoded(state, "key_page", () => readLists(row.page));
}

export function keysOfPage(state: SqlDatabase, row: KeyPageRow): PageKey[] {
  return decoded(state, "key_page", () => readKeyPage(row.page));
}

export function keysOfHash(state: SqlDatabase, streamNo: number, key: string): KeyHashRow[] {
  const rows = state.sql("SELECT * FROM key_hash WHERE stream_no = +? AND hash = +? ORDER BY seq");
  return checkedRows(state, "key_hash", rows.all<KeyHashRow>(streamNo, keyHash(key)));
}

/**
 * Where a key points. Of a key that occurs twice, the first.
 * @param hasKey whether the entry at a seq has this key: a hash only says that it may
 */
export function findKey(
  state: SqlDatabase,
  streamNo: number,
  key: string,
  hasKey: (seq: number) => boolean,
): KeyHit | undefined {
  const counted = countedKey(key);
  if (counted !== undefined) return findCounted(state, streamNo, counted);
  const rows = keysOfHash(state, streamNo, key);
  const ofEntry = rows.find((row) => row.alone === null && hasKey(row.seq));
  if (ofEntry !== undefined) return { seq: ofEntry.seq, value: null } as KeyHit;
  for (const { seq, alone } of rows) {
    const found = alone === null ? undefined : aloneKey(alone);
    if (found?.key === key) return { seq, value: found.value } as KeyHit;
  }
  return undefined;
}

function findCounted(state: SqlDatabase, streamNo: number, counted: CountedKey): KeyHit | undefined {
  const row = findKeyPage(state, streamNo, counted);
  return row && decoded(state, "key_page", () => findInLists(readLists(row.page), counted));
}

/**
 * The highest counter of a prefix; -1 when the index has none. It is in the last page that does not begin above the
 * prefix, if in any.
 */
export function highestCounter(state: SqlDatabase, streamNo: number, prefix: string): number {
  const row = findKeyPage(state, streamNo, { prefix, counter: COUNTER_MAX });
  return row === undefined ? -1 : decoded(state, "key_page", () => highestInLists(readLists(row.page), prefix));
}

/** What the `alone` column holds. */
export function aloneKey(alone: Uint8Array): { key: string; value: Uint8Array } {
  const bytes = asBuffer(alone);
  const reader = new ByteReader(bytes);
  return { key: reader.str8(), value: bytes.subarray(reader.pos) };
}
