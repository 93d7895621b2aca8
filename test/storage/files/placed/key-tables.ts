/** The key tables of a shard's state in a file of their own, filled flush by flush. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CorruptionError } from "../../../../storage/errors.ts";
import { createDatabaseFile, emptyDatabase } from "../../../../storage/files/sqlite/database-file.ts";
import { SqlDatabase } from "../../../../storage/files/sqlite/database.ts";
import { KeyIndex } from "../../../../storage/files/placed/key-index.ts";
import { findKey } from "../../../../storage/files/placed/key-reader.ts";
import { type KeyPageRow, PLACED_SCHEMA, STATE_FORMAT } from "../../../../storage/files/placed/state-file.ts";
import { KeyCheck } from "../../../../storage/tools/verify-keys.ts";
import type { KeyHit, Seq } from "../../../../storage/types.ts";

export type FoundKey = { seq: number; value: string | null };

const never = (): boolean => false;

export class KeyTables {
  readonly #dir = mkdtempSync(join(tmpdir(), "key-index-"));
  readonly path = join(this.#dir, "state.db");
  state = this.#create();

  #create(): SqlDatabase {
    createDatabaseFile(this.path, emptyDatabase(STATE_FORMAT, "rollback"));
    const state = this.#open();
    state.exec(PLACED_SCHEMA);
    return state;
  }

  /** What a crash leaves is not asked here. */
  #open(): SqlDatabase {
    const state = new SqlDatabase(this.path, "readwrite");
    state.exec("PRAGMA synchronous = OFF");
    return state;
  }

  clear(): void {
    this.state.close();
    rmSync(this.path);
    this.state = this.#create();
  }

  reopen(): void {
    this.state.close();
    this.state = this.#open();
  }

  remove(): void {
    this.state.close();
    rmSync(this.#dir, { recursive: true, force: true });
  }

  /** One flush: the index, then its pages, in one transaction. */
  flush(change: (index: KeyIndex) => void): void {
    this.state.within("BEGIN IMMEDIATE", () => {
      const index = new KeyIndex(this.state);
      change(index);
      index.finish();
    });
  }

  /** A flush of entries with these keys; the first has seq `first`. */
  add(keys: readonly string[], streamNo = 1, first = 1): void {
    this.flush((index) =>
      keys.forEach((key, at) => index.add(streamNo, key, { seq: (first + at) as Seq, value: null }, never)),
    );
  }

  /** Where a counted key points: no entry is asked. */
  find(key: string, streamNo = 1): FoundKey | undefined {
    const hit: KeyHit | undefined = findKey(this.state, streamNo, key, () => {
      throw new Error(`${key} is no counted key`);
    });
    return hit && { seq: hit.seq, value: hit.value === null ? null : Buffer.from(hit.value).toString() };
  }

  pages(streamNo = 1): KeyPageRow[] {
    const sql = "SELECT * FROM key_page WHERE stream_no = ? ORDER BY prefix, first";
    return this.state.sql(sql).all<KeyPageRow>(streamNo);
  }

  /** What verify says of the index and of the entries that the streams have. */
  faults(streams: Map<number, Map<string, FoundKey>>): string[] {
    const faults: string[] = [];
    const check = new KeyCheck(this.state, (place, what) => void faults.push(`${place}: ${what}`));
    try {
      check.readIndex();
      for (const [streamNo, known] of streams)
        for (const [key, { seq, value }] of known) if (value === null) check.entry(streamNo, seq, key, false);
      check.finish();
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      faults.push(error.message);
    }
    return faults;
  }
}
