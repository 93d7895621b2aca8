/**
 * The rows of a damaged `state.db`, `recent.db` or segment that still are what was written, by their own checksums; and
 * those that are not, for people to read.
 */
import * as fs from "node:fs";
import type { PageRow } from "../../files/layers/page-table.ts";
import type { RecentShardRow } from "../../files/layers/recent-file.ts";
import type { SqlValue } from "../../files/sqlite/database.ts";
import { rowCrc, type Table } from "../../files/sqlite/row-crc.ts";
import { readWholeFile } from "../../vfs/whole-file.ts";
import type {
  ErasureRow,
  KeyHashRow,
  KeyPageRow,
  LaneRow,
  NameRow,
  RunRow,
  SegmentRow,
  ShardRow,
  TailRow,
  TimelineRow,
} from "../../files/placed/state-file.ts";
import { foldedImage, readSqliteWal } from "../sqlite-wal.ts";
import { rawRows, type RawRow } from "./raw-rows.ts";

/** Names in their order, with what each holds: a number, text or bytes. The first `keys` are the key of a row. */
type Shape = { keys: number; columns: readonly string[]; kinds: string };
type Shapes = Partial<Record<Table, Shape>>;

function shape(keys: number, kinds: string, names: string): Shape {
  return { keys, kinds: `${kinds}n`, columns: [...names.split(" "), "crc"] };
}

const PAGE = shape(3, "nntnnnb", "shard layer first through codec raw_bytes data");
export const RECENT_SHAPES: Shapes = {
  shard: shape(1, "nnnnnb", "shard flushed_through term streams own_through layers"),
  page: PAGE,
};
export const STATE_SHAPES: Shapes = {
  shard: shape(1, "nnnnnnnnb", "shard flush flushed_through term streams lanes files erasures layers"),
  name: shape(1, "nb", "page names"),
  page: PAGE,
  segment: shape(1, "nnnnnn", "segment file base blocks status packing"),
  timeline: shape(2, "nnb", "stream_no first_seq page"),
  lane: shape(2, "ntn", "stream_no name lane"),
  run: shape(2, "nnnnnn", "lane last_seq first_seq segment block entries"),
  tail: shape(1, "nnnnnnb", "tail first_seq last_seq entries codec raw_bytes data"),
  key_page: shape(3, "ntnb", "stream_no prefix first page"),
  key_hash: shape(3, "nnnb", "stream_no hash seq alone"),
  erasure: shape(1, "nnnnn", "id stream_no lane from_seq to_seq"),
};

type Rows = {
  shard: ShardRow | RecentShardRow;
  name: NameRow;
  page: PageRow;
  segment: SegmentRow;
  timeline: TimelineRow;
  lane: LaneRow;
  run: RunRow;
  tail: TailRow;
  key_page: KeyPageRow;
  key_hash: KeyHashRow;
  erasure: ErasureRow;
};

/** A row that fails its checksum. `values` are what stands there, and prove nothing. */
export type BrokenRow = { file: string; table: string; values: SqlValue[] };

export class SalvagedRows {
  readonly #tables = new Map<Table, Map<string, Record<string, SqlValue>>>();
  readonly broken: BrokenRow[] = [];

  /** @param file as it is named to people */
  constructor(image: Buffer, pageBytes: number, shapes: Shapes, file: string) {
    for (const row of rawRows(image, pageBytes)) {
      const known = knownRow(row, shapes);
      if (known !== undefined) this.#add(known);
      else this.#addBroken(row, shapes, file);
    }
  }

  of<T extends keyof Rows>(table: T): Rows[T][] {
    return [...(this.#tables.get(table)?.values() ?? [])] as unknown as Rows[T][];
  }

  #add({ table, key, row }: KnownRow): void {
    let rows = this.#tables.get(table);
    if (rows === undefined) this.#tables.set(table, (rows = new Map()));
    // A page that nobody uses any more can have an earlier one.
    const before = rows.get(key);
    if (before === undefined || isLater(row, before)) rows.set(key, row);
  }

  #addBroken({ values: found, rowid }: RawRow, shapes: Shapes, file: string): void {
    const values = withKey(found, rowid);
    const kinds = values.map(kindOf).join("");
    for (const [table, { kinds: due }] of Object.entries(shapes))
      if (kinds === due) return void this.broken.push({ file, table, values });
  }
}

const kindOf = (value: SqlValue): string => {
  if (typeof value === "number") return "n";
  return typeof value === "string" ? "t" : "b";
};

type KnownRow = { table: Table; key: string; row: Record<string, SqlValue> };

function knownRow({ values: found, rowid }: RawRow, shapes: Shapes): KnownRow | undefined {
  const values = withKey(found, rowid);
  const crc = values.at(-1);
  for (const [table, { keys, columns }] of Object.entries(shapes) as [Table, Shape][]) {
    if (values.length !== columns.length || rowCrc(table, values.slice(0, -1)) !== crc) continue;
    const key = JSON.stringify(values.slice(0, keys));
    return { table, key, row: Object.fromEntries(columns.map((name, at) => [name, values[at]!])) };
  }
  return undefined;
}

/** A row number that is a column stands in the tree, and as nothing in the record. */
const withKey = (values: SqlValue[], rowid: number | undefined): SqlValue[] =>
  values[0] === null && rowid !== undefined ? [rowid, ...values.slice(1)] : values;

function isLater(row: Record<string, SqlValue>, before: Record<string, SqlValue>): boolean {
  const through = (one: Record<string, SqlValue>): number => Number(one["flushed_through"] ?? one["last_seq"] ?? 0);
  return through(row) >= through(before);
}

/** The bytes of a database with what its write-ahead file still tells; undefined when there is no such file. */
export function salvagedImage(path: string): Buffer | undefined {
  const database = readIfThere(path);
  const wal = readIfThere(`${path}-wal`);
  if (database === undefined && wal === undefined) return undefined;
  return foldedImage(database ?? Buffer.alloc(0), wal && readSqliteWal(wal, { isWhole: false }));
}

function readIfThere(path: string): Buffer | undefined {
  return fs.existsSync(path) ? readWholeFile(path) : undefined;
}
