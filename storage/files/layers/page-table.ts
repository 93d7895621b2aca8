/**
 * The table that layers lie in. A *layer* is what one flush brought of a shard, or several flushes merged: fragments of
 * streams by rising name, in pages that are packed one by one. Layers never change; they are written, merged into
 * another, and deleted, all in the transaction of a flush.
 *
 *     page      fragment…                                                                  about 16 KiB before packing
 *     stack     next layer number | (layer, pages, raw bytes, weight of items)…            the `layers` column of a shard, the oldest layer first
 *
 * Numbers are varints. Layer numbers of a shard rise and are never used again, so what was read of a page once is right
 * for ever.
 */
import { CorruptionError } from "../../errors.ts";
import type { BlockCache } from "../sqlite/block-cache.ts";
import { packed, type Packing, unpackedRow } from "../../encoding/packing.ts";
import { asBuffer, ByteReader } from "../../encoding/byte-reader.ts";
import { GrowingWriter } from "../../encoding/byte-writer.ts";
import type { SqlDatabase } from "../sqlite/database.ts";
import { checkedRow, rowCrc } from "../sqlite/row-crc.ts";
import type { ShardId } from "../../types.ts";
import { type Fragment, readFragment, readFragmentHeader, type StreamReach } from "./fragment.ts";
import type { ItemSize } from "./piece.ts";

/**
 * Rows by number, with an index beside them: where SQLite looks for a row of a table WITHOUT ROWID it reads all of each
 * row that it passes, blob included.
 */
export const PAGE_SCHEMA = `
CREATE TABLE page(shard INT, layer INT, first TEXT, through INT, codec INT, raw_bytes INT, data BLOB, crc INT, PRIMARY KEY(shard, layer, first));`;

/** As files of earlier versions have it. The same statements read and write both. */
export const EARLIER_PAGE_SCHEMA = PAGE_SCHEMA.replace(/\);$/, ") WITHOUT ROWID;");

/** through: highest head offset of its streams. */
export type PageRow = {
  shard: number;
  layer: number;
  first: string;
  through: number;
  codec: number;
  raw_bytes: number;
  data: Uint8Array;
  crc: number;
};

/** itemBytes: what its items take when they are placed, about. */
export type Layer = { layer: number; pages: number; rawBytes: number; itemBytes: number };
export type LayerStack = { next: number; layers: Layer[] };

/** Parameters behind a plus: beside ORDER BY, a bare one makes SQLite prepare the statement anew at each call. */
const FIND_PAGE = "SELECT * FROM page WHERE shard = +? AND layer = +? AND first <= +? ORDER BY first DESC LIMIT 1";
/** Which page it is, without reading it: a packed page is a chain of tens of SQLite's own, and may be in the cache. */
const FIND_FIRST = FIND_PAGE.replace("*", "first");

/**
 * A page is closed once it has so many bytes. With twice as many, chat packs 4 % better (`bench storage`, codecs), and
 * reading one stream unpacks twice as much.
 */
const PAGE_BYTES = 16 * 1024;

export const NO_LAYERS: LayerStack = { next: 1, layers: [] };

export function writeStack({ next, layers }: LayerStack): Uint8Array {
  const out = new GrowingWriter(16);
  out.varint(next);
  for (const { layer, pages, rawBytes, itemBytes } of layers) {
    out.varint(layer);
    out.varint(pages);
    out.varint(rawBytes);
    out.varint(itemBytes);
  }
  return out.written();
}

/** @throws RangeError where the bytes are no stack. */
export function readStack(bytes: Uint8Array): LayerStack {
  const reader = new ByteReader(asBuffer(bytes));
  if (bytes.length === 0) return NO_LAYERS;
  const next = reader.varint();
  const layers: Layer[] = [];
  while (reader.pos < reader.end) {
    const [layer, pages] = [reader.varint(), reader.varint()];
    layers.push({ layer, pages, rawBytes: reader.varint(), itemBytes: reader.varint() });
  }
  return { next, layers };
}

/** The layers that one database has of one shard, as they are in the caller's moment. */
export class LayerSource {
  readonly db: SqlDatabase;
  readonly shard: ShardId;
  readonly stack: LayerStack;
  readonly #cache: BlockCache;

  constructor(db: SqlDatabase, shard: ShardId, stack: LayerStack, cache: BlockCache) {
    this.db = db;
    this.shard = shard;
    this.stack = stack;
    this.#cache = cache;
  }

  /**
   * Tells what the layer has of one stream after another, by rising name: a page is read and gone through once for all
   * that are in it.
   */
  finder(layer: Layer): (name: string) => Fragment | undefined {
    let page: Buffer | undefined;
    let at = 0;
    const inPage = (name: string): { isPassed: boolean; fragment?: Fragment } => {
      while (page !== undefined && at < page.length) {
        const head = readFragmentHeader(page, at, page.length);
        if (head.name === name) return { isPassed: true, fragment: readFragment(page, at, page.length) };
        if (head.name > name) return { isPassed: true };
        at = head.end;
      }
      return { isPassed: false };
    };
    return (name) =>
      this.#decoded(layer, () => {
        const found = inPage(name);
        if (found.isPassed) return found.fragment;
        page = this.#pageOf(layer, name);
        at = 0;
        return inPage(name).fragment;
      });
  }

  /** All fragments of a layer, by rising name. Pages whose streams all end at `after` or before are left out. */
  *fragments(layer: Layer, after = -1): Iterable<Fragment> {
    const firsts = this.db.sql(
      "SELECT first FROM page WHERE shard = +? AND layer = +? AND through > +? ORDER BY first",
    );
    for (const { first } of firsts.all<{ first: string }>(this.shard, layer.layer, after)) {
      const page = this.#page(layer, first);
      const fragments = this.#decoded(layer, () => [...fragmentsIn(page)]);
      yield* fragments;
    }
  }

  /**
   * The page that has the stream, or would. One statement for all layers: preparing it is most of its cost in a file
   * just opened.
   */
  #pageOf(layer: Layer, name: string): Buffer | undefined {
    const read = (): PageRow | undefined => this.db.sql(FIND_PAGE).get<PageRow>(this.shard, layer.layer, name);
    if (layer.pages === 1)
      return this.#cache.get(this.#nameOf(layer, ""), () => this.#unpacked(layer, read() ?? this.#only(layer)));
    const found = this.db.sql(FIND_FIRST).get<{ first: string }>(this.shard, layer.layer, name);
    return found && this.#cache.get(this.#nameOf(layer, found.first), () => this.#unpacked(layer, read()));
  }

  #page(layer: Layer, first: string): Buffer {
    const row = (): PageRow | undefined => this.db.sql(FIND_PAGE).get<PageRow>(this.shard, layer.layer, first);
    return this.#cache.get(this.#nameOf(layer, layer.pages === 1 ? "" : first), () => this.#unpacked(layer, row()));
  }

  /** A name before all of the layer finds nothing, though its page is there. */
  #only({ layer }: Layer): PageRow | undefined {
    return this.db.sql("SELECT * FROM page WHERE shard = ? AND layer = ?").get<PageRow>(this.shard, layer);
  }

  #nameOf({ layer }: Layer, first: string): string {
    return `${this.db.file}/${this.shard}/${layer}/${first}`;
  }

  #unpacked({ layer }: Layer, row: PageRow | undefined): Buffer {
    if (row === undefined) throw new CorruptionError(this.db.file, "table page", `layer ${layer} is missing`);
    return readPageRow(this.db, row);
  }

  #decoded<T>({ layer }: Layer, decode: () => T): T {
    try {
      return decode();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new CorruptionError(this.db.file, `table page, layer ${layer}`, error.message);
    }
  }
}

/** A row, checked and unpacked. @throws CorruptionError */
export function readPageRow(db: SqlDatabase, row: PageRow): Buffer {
  checkedRow(db, "page", row);
  try {
    return unpackedRow(row);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new CorruptionError(db.file, `table page, layer ${row.layer}`, error.message);
  }
}

/** @throws RangeError where the bytes are no page. */
export function* fragmentsIn(page: Buffer): Iterable<Fragment> {
  for (let at = 0; at < page.length;) {
    const fragment = readFragment(page, at, page.length);
    yield fragment;
    at = fragment.end;
  }
}

/** Writes one layer, page by page. Fragments come by rising name. */
export class LayerWriter {
  readonly #db: SqlDatabase;
  readonly #shard: ShardId;
  readonly #layer: number;
  readonly #packing: Packing;
  readonly out: GrowingWriter;
  #first: string | undefined;
  #through = 0;
  #pages = 0;
  #rawBytes = 0;
  #itemBytes = 0;

  /** @param out empty afterwards */
  constructor(db: SqlDatabase, shard: ShardId, layer: number, packing: Packing, out: GrowingWriter) {
    this.#db = db;
    this.#shard = shard;
    this.#layer = layer;
    this.#packing = packing;
    this.out = out;
    out.reset();
  }

  /** A fragment of this stream was just written to `out`. */
  added({ reach, size }: { reach: StreamReach; size: ItemSize }): void {
    this.#first ??= reach.name;
    this.#through = Math.max(this.#through, reach.headOffset);
    this.#itemBytes += size.bytes;
    if (this.out.pos >= PAGE_BYTES) this.#writePage();
  }

  /** Undefined when nothing was added. */
  finish(): Layer | undefined {
    if (this.out.pos > 0) this.#writePage();
    if (this.#pages === 0) return undefined;
    return { layer: this.#layer, pages: this.#pages, rawBytes: this.#rawBytes, itemBytes: this.#itemBytes };
  }

  #writePage(): void {
    const raw = this.out.written();
    const { codec, raw_bytes, data } = packed(raw, this.#packing);
    const values = [this.#shard, this.#layer, this.#first!, this.#through, codec, raw_bytes, data] as const;
    this.#db.sql("INSERT INTO page VALUES (?, ?, ?, ?, ?, ?, ?, ?)").run(...values, rowCrc("page", values));
    this.#pages++;
    this.#rawBytes += raw_bytes;
    this.out.reset();
    this.#first = undefined;
    this.#through = 0;
  }
}

export function deleteLayer(db: SqlDatabase, shard: ShardId, { layer }: Layer): void {
  db.sql("DELETE FROM page WHERE shard = ? AND layer = ?").run(shard, layer);
}

/** What the layers of a shard take in this database, packed. */
export function pageBytes(db: SqlDatabase, shard: ShardId): number {
  const sql = "SELECT coalesce(sum(length(data)), 0) AS bytes FROM page WHERE shard = ?";
  return db.sql(sql).get<{ bytes: number }>(shard)!.bytes;
}
