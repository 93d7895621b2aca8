/**
 * The layers of one shard in one database, page by page: each is what the stack says, and each fragment in it can be
 * read, all of it. Whether fragments of several layers tell one story is asked in verify-streams.ts.
 */
import { BlockCache } from "../files/sqlite/block-cache.ts";
import { ByteReader } from "../encoding/byte-reader.ts";
import { CorruptionError } from "../errors.ts";
import { addCells, type Cells, type Fragment } from "../files/layers/fragment.ts";
import {
  fragmentsIn,
  type Layer,
  LayerSource,
  type LayerStack,
  type PageRow,
  readPageRow,
  readStack,
} from "../files/layers/page-table.ts";
import { itemsOf, type Piece, sizeOf } from "../files/layers/piece.ts";
import { LayeredStream } from "../files/layers/layered-stream.ts";
import type { SqlDatabase } from "../files/sqlite/database.ts";
import type { ShardId } from "../types.ts";
import type { Fault } from "./verify-rows.ts";

const CACHE_BYTES = 1 << 20;

/** What pages of a layer have in sum. */
type Sum = Omit<Layer, "layer"> & { lastName: string | undefined };

export class LayerCheck {
  readonly #db: SqlDatabase;
  readonly #fault: Fault;
  /** Layers that some stack lists, as `shard/layer`. */
  readonly #listed = new Set<string>();

  constructor(db: SqlDatabase, fault: Fault) {
    this.#db = db;
    this.#fault = fault;
  }

  /**
   * All layers of the shard.
   * @param stack bytes of the `layers` column
   * @param where how findings name the shard's row
   */
  verify(shard: ShardId, stack: Uint8Array, where: string): LayerSource | undefined {
    let isSound = true;
    const fault: Fault = (place, what) => {
      isSound = false;
      this.#fault(place, what);
    };
    const layers = decoded(where, fault, () => readStack(stack));
    if (layers === undefined) return undefined;
    verifyNumbers(layers, where, fault);
    for (const layer of layers.layers) this.#layer(shard, layer, fault);
    return isSound ? new LayerSource(this.#db, shard, layers, new BlockCache(CACHE_BYTES)) : undefined;
  }

  /** After all shards. */
  finish(): void {
    const rows = this.#db.sql("SELECT shard, layer, count(*) AS pages FROM page GROUP BY shard, layer");
    for (const { shard, layer, pages } of rows.all<{ shard: number; layer: number; pages: number }>()) {
      if (!this.#listed.has(`${shard}/${layer}`))
        this.#fault(`table page, row ${shard}/${layer}`, `${pages} pages of a layer that shard ${shard} does not list`);
    }
  }

  #layer(shard: ShardId, layer: Layer, fault: Fault): void {
    this.#listed.add(`${shard}/${layer.layer}`);
    const sum: Sum = { pages: 0, rawBytes: 0, itemBytes: 0, lastName: undefined };
    const rows = this.#db.sql("SELECT * FROM page WHERE shard = ? AND layer = ? ORDER BY first");
    for (const row of rows.all<PageRow>(shard, layer.layer)) {
      const place = `table page, row ${row.shard}/${row.layer}/${JSON.stringify(row.first)}`;
      sum.pages++;
      sum.rawBytes += row.raw_bytes;
      decoded(place, fault, () => verifyPage(row, readPageRow(this.#db, row), sum, place, fault));
    }
    for (const what of ["pages", "rawBytes", "itemBytes"] as const) {
      if (sum[what] !== layer[what])
        fault(`table page, row ${shard}/${layer.layer}`, `${NAMES[what]}: ${sum[what]}, its shard says ${layer[what]}`);
    }
  }
}

const NAMES = { pages: "pages", rawBytes: "bytes of pages", itemBytes: "bytes of items" } as const;

/** Undefined when it is damaged; that is a finding. */
function decoded<T>(place: string, fault: Fault, decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof CorruptionError) fault(place, "checksum or codec does not match");
    else if (error instanceof RangeError) fault(place, error.message);
    else throw error;
    return undefined;
  }
}

function verifyNumbers({ next, layers }: LayerStack, where: string, fault: Fault): void {
  let last = 0;
  for (const { layer } of layers) {
    if (layer <= last || layer >= next) fault(where, `layer ${layer} follows ${last}, the next is to be ${next}`);
    last = layer;
  }
}

function verifyPage(row: PageRow, page: Buffer, sum: Sum, place: string, fault: Fault): void {
  let through = 0;
  let first: string | undefined;
  for (const fragment of fragmentsIn(page)) {
    const { name, headOffset } = fragment;
    first ??= name;
    if (sum.lastName !== undefined && name <= sum.lastName) fault(place, `stream ${name} follows ${sum.lastName}`);
    sum.lastName = name;
    through = Math.max(through, headOffset);
    sum.itemBytes += new LayeredStream([fragment]).size.bytes;
    verifyFragment(fragment, (what) => fault(`${place}, stream ${name}`, what));
  }
  if (row.first !== first || row.through !== through)
    fault(
      place,
      `it begins with ${first} and reaches to offset ${through}, its row says ${row.first} and ${row.through}`,
    );
}

function verifyFragment(fragment: Fragment, fault: (what: string) => void): void {
  for (const piece of fragment.pieces) verifyPiece(piece, fault);
  const cells: Cells = new Map();
  addCells(fragment, cells);
  const keys = cellKeys(fragment);
  if (keys.some((key, at) => at > 0 && key <= keys[at - 1]!)) fault("its cells do not rise");
}

function verifyPiece(piece: Piece, fault: (what: string) => void): void {
  const items = itemsOf(piece);
  const entries = items.filter(({ alone }) => !alone);
  const { size, firstSeq, lastSeq, lastOffset } = piece;
  const isSame =
    firstSeq === (entries[0]?.seq ?? 0) &&
    lastSeq === (entries.at(-1)?.seq ?? 0) &&
    lastOffset === items.at(-1)?.offset &&
    size.bytes === sizeOf(items).bytes;
  if (!isSame) fault(`a piece to offset ${lastOffset} says of its items what they are not`);
}

/** As they lie there: a map would hide one that is there twice. */
function cellKeys({ bytes, cellsAt, end }: Fragment): string[] {
  const reader = new ByteReader(bytes, cellsAt, end);
  const keys: string[] = [];
  while (reader.pos < end) {
    keys.push(reader.str8());
    const length = reader.varint();
    if (length > 0) reader.skip(length - 1);
  }
  return keys;
}
