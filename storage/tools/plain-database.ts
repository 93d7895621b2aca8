/**
 * A shard as a plain SQLite file, for the shell: every entry is a row with its payload as it is. Blocks of segments are
 * packed, so SQL alone cannot read them; this can. A copy for reading, of one moment; nothing reads it back.
 */
import * as fs from "node:fs";
import { databaseImage, SqlDatabase } from "../files/sqlite/database.ts";
import type { Seq, StoredEntry } from "../types.ts";
import { textOf } from "./readable.ts";
import type { InspectedShard } from "./inspected-shard.ts";

const SCHEMA = `
  CREATE TABLE stream(name TEXT PRIMARY KEY, head_seq INTEGER NOT NULL);
  CREATE TABLE message(
    stream TEXT NOT NULL,
    seq INTEGER NOT NULL,
    lane TEXT NOT NULL,         -- part of the stream that is read by itself, such as a conversation
    key TEXT NOT NULL,
    time TEXT,                  -- UTC; this and the next three as far as the payload is understood
    kind TEXT,
    sender TEXT,
    text TEXT,
    log_offset INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY(stream, seq)
  );
  CREATE INDEX message_by_lane ON message(stream, lane, seq);
  CREATE TABLE cell(stream TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, text TEXT, PRIMARY KEY(stream, key));`;

/** What the store's user makes of a payload. */
export type Described = {
  time?: string | undefined;
  kind?: string | undefined;
  sender?: string | undefined;
  text?: string | undefined;
};

/** What the store's user makes of entries, and of cells that are not for everybody's eyes. */
export type PlainText = {
  describe(stream: string, entry: StoredEntry): Described;
  cell(stream: string, key: string, value: Uint8Array): Uint8Array;
};

const PAGE = 1000;

/** @param out replaced if it is there. @returns rows of `message` */
export async function writePlainDatabase(
  inspected: InspectedShard,
  out: string,
  plain: PlainText,
  progress: (done: number, total: number) => void,
): Promise<number> {
  const fresh = `${out}.new`;
  fs.writeFileSync(fresh, databaseImage(SCHEMA), { mode: 0o600 });
  const db = new SqlDatabase(fresh, "readwrite");
  try {
    // A copy that a crash cuts short is made again.
    db.pragma("synchronous = OFF");
    db.pragma("journal_mode = OFF");
    const { rows } = inspected.streams(Number.POSITIVE_INFINITY);
    const total = rows.reduce((sum, { headSeq }) => sum + headSeq, 0);
    let done = 0;
    for (const { name, headSeq } of rows) {
      db.sql("INSERT INTO stream VALUES (?, ?)").run(name, headSeq);
      for (let after = 0 as Seq; ;) {
        const entries = inspected.forward(name, after, PAGE);
        db.within("BEGIN IMMEDIATE", () =>
          entries.forEach((entry) => insert(db, name, entry, plain.describe(name, entry))),
        );
        progress((done += entries.length), total);
        if (entries.length === 0) break;
        after = entries.at(-1)!.seq;
        await new Promise(setImmediate);
      }
      for (const [key, value] of inspected.cells(name)) {
        const shown = plain.cell(name, key, value);
        db.sql("INSERT INTO cell VALUES (?, ?, ?, ?)").run(name, key, shown, textOf(shown) ?? null);
      }
    }
    db.close();
    fs.renameSync(fresh, out);
    return done;
  } finally {
    db.close();
    fs.rmSync(fresh, { force: true });
  }
}

function insert(db: SqlDatabase, stream: string, entry: StoredEntry, { time, kind, sender, text }: Described): void {
  const { seq, lane, key, offset, payload } = entry;
  db.sql("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)").run(
    stream,
    seq,
    lane,
    key,
    time ?? null,
    kind ?? null,
    sender ?? null,
    text ?? textOf(payload) ?? null,
    offset,
    payload,
  );
}
