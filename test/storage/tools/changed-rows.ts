/** Changes rows of a shard's files, checksums and all: what a bug could write, and no flipped bit. */
import { expect } from "bun:test";
import {
  type Cells,
  type Fragment,
  type StreamReach,
  writeFragment,
  addCells,
} from "../../../storage/files/layers/fragment.ts";
import {
  fragmentsIn,
  type Layer,
  type PageRow,
  readPageRow,
  readStack,
  writeStack,
} from "../../../storage/files/layers/page-table.ts";
import { itemsOf, type LoggedItem, piecesOf } from "../../../storage/files/layers/piece.ts";
import { LayeredStream } from "../../../storage/files/layers/layered-stream.ts";
import { CODEC_RAW } from "../../../storage/encoding/packing.ts";
import { GrowingWriter } from "../../../storage/encoding/byte-writer.ts";
import { SqlDatabase, type SqlValue } from "../../../storage/files/sqlite/database.ts";
import { rowCrc, type Table } from "../../../storage/files/sqlite/row-crc.ts";

type Row = Record<string, SqlValue>;

/** What a fragment says, to be changed in place. */
export type Told = { reach: StreamReach; items: LoggedItem[]; cells: Cells };

export class ChangedRows {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  #in<T>(change: (db: SqlDatabase) => T): T {
    const db = new SqlDatabase(this.#path, "readwrite");
    try {
      return change(db);
    } finally {
      db.close();
    }
  }

  change(table: Table, where: string, columns: Row): void {
    this.#in((db) => {
      const rows = db.sql(`SELECT * FROM ${table} WHERE ${where}`).all<Row>();
      expect(rows.length).toBeGreaterThan(0);
      db.sql(`DELETE FROM ${table} WHERE ${where}`).run();
      for (const row of rows) put(db, table, { ...row, ...columns });
    });
  }

  remove(table: Table, where: string): void {
    expect(this.#in((db) => db.sql(`DELETE FROM ${table} WHERE ${where}`).run())).toBeGreaterThan(0);
  }

  /** The format that the file says it has. */
  version(version: number): void {
    this.#in((db) => void db.pragma(`user_version = ${version}`));
  }

  /** The layers of a shard, in its row. */
  stack(shard: number, change: (layers: Layer[]) => void): void {
    this.#in((db) => changeStack(db, shard, change));
  }

  /** The newest fragment of a stream; its page and the stack go with it, so that only the story is another. */
  fragment(shard: number, stream: string, change: (told: Told) => void): void {
    this.#in((db) => {
      const rows = db.sql("SELECT * FROM page WHERE shard = ? ORDER BY layer DESC").all<PageRow>(shard);
      const row = rows.find((page) => [...fragmentsIn(readPageRow(db, page))].some(({ name }) => name === stream));
      expect(row).toBeDefined();
      rewritePage(db, row!, stream, change);
    });
  }
}

function put(db: SqlDatabase, table: Table, row: Row): void {
  const values = Object.values(row).slice(0, -1);
  const places = [...values, 0].map(() => "?").join();
  db.sql(`INSERT OR REPLACE INTO ${table} VALUES (${places})`).run(...values, rowCrc(table, values));
}

function changeStack(db: SqlDatabase, shard: number, change: (layers: Layer[]) => void): void {
  const row = db.sql("SELECT * FROM shard WHERE shard = ?").get<Row>(shard)!;
  const { next, layers } = readStack(row["layers"] as Uint8Array);
  change(layers);
  put(db, "shard", { ...row, layers: writeStack({ next, layers }) });
}

function rewritePage(db: SqlDatabase, row: PageRow, stream: string, change: (told: Told) => void): void {
  const before = [...fragmentsIn(readPageRow(db, row))];
  const out = new GrowingWriter();
  for (const fragment of before) {
    const told = toldBy(fragment);
    if (fragment.name === stream) change(told);
    writeFragment(out, told.reach, piecesOf(told.items), told.cells);
  }
  const raw = Buffer.from(out.written());
  const after = [...fragmentsIn(raw)];
  const through = Math.max(...after.map(({ headOffset }) => headOffset));
  const first = after[0]!.name;
  db.sql("DELETE FROM page WHERE shard = ? AND layer = ? AND first = ?").run(row.shard, row.layer, row.first);
  put(db, "page", { ...row, first, through, codec: CODEC_RAW, raw_bytes: raw.length, data: raw });
  changeStack(db, row.shard, (layers) => {
    const layer = layers.find((one) => one.layer === row.layer)!;
    layer.rawBytes += raw.length - row.raw_bytes;
    layer.itemBytes += itemBytes(after) - itemBytes(before);
  });
}

function toldBy(fragment: Fragment): Told {
  const { name, streamNo, headSeq, headOffset, placedSeq, placedThrough } = fragment;
  const cells: Cells = new Map();
  addCells(fragment, cells);
  const reach = { name, streamNo, headSeq, headOffset, placedSeq, placedThrough };
  return { reach, items: fragment.pieces.flatMap(itemsOf), cells };
}

function itemBytes(fragments: readonly Fragment[]): number {
  return fragments.reduce((sum, fragment) => sum + new LayeredStream([fragment]).size.bytes, 0);
}
