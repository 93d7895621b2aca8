/** `recent.db` of a damaged directory: what it still has of each shard, and a new file with what is whole. */
import * as fs from "node:fs";
import { type PageRow, readStack } from "../../files/layers/page-table.ts";
import { RECENT_FORMAT, type RecentShardRow } from "../../files/layers/recent-file.ts";
import { createDatabaseFile, createDirectory, emptyDatabase } from "../../files/sqlite/database-file.ts";
import { recentPath, shardsDirectory } from "../../files/sqlite/paths.ts";
import { SqlDatabase } from "../../files/sqlite/database.ts";
import { SHARD_COUNT, type ShardId } from "../../types.ts";
import type { RecentRemains as RemainsOfShard } from "./salvage-shard.ts";
import { type BrokenRow, RECENT_SHAPES, salvagedImage, SalvagedRows } from "./salvaged-rows.ts";

export class RecentRemains {
  readonly broken: BrokenRow[];
  readonly #rows = new Map<ShardId, RecentShardRow>();
  readonly #pages: Map<number, PageRow[]>;
  readonly #isSound: boolean;

  /** @param isSound whether nothing is wrong with the file: what is not found then was never there */
  static read(root: string, isSound: boolean): RecentRemains {
    const image = salvagedImage(recentPath(root)) ?? Buffer.alloc(0);
    const rows = new SalvagedRows(image, RECENT_FORMAT.pageBytes, RECENT_SHAPES, "shards/recent.db");
    return new RecentRemains(rows, isSound);
  }

  private constructor(rows: SalvagedRows, isSound: boolean) {
    this.#isSound = isSound;
    this.broken = rows.broken;
    this.#pages = Map.groupBy(rows.of("page"), ({ shard }) => shard);
    for (const row of rows.of("shard") as RecentShardRow[])
      if (row.shard >= 0 && row.shard < SHARD_COUNT) this.#rows.set(row.shard as ShardId, row);
  }

  /** Shards of which something is here. */
  shards(): ShardId[] {
    return [...new Set([...this.#rows.keys(), ...(this.#pages.keys() as Iterable<ShardId>)])];
  }

  of(shard: ShardId): RemainsOfShard {
    const row = this.#rows.get(shard);
    return { row, pages: this.#pages.get(shard) ?? [], isSure: row !== undefined || this.#isSound };
  }

  /** Whether all is here that its row names. */
  isWhole(shard: ShardId): boolean {
    const row = this.#rows.get(shard);
    if (row === undefined) return this.#isSound && !this.#pages.has(shard);
    const layers = new Map<number, number>();
    for (const { layer } of this.#pages.get(shard) ?? []) layers.set(layer, (layers.get(layer) ?? 0) + 1);
    return readStack(row.layers).layers.every(({ layer, pages }) => layers.get(layer) === pages);
  }

  /** A new file in the place of what is there, with the rows of these shards as they are. */
  rewrite(root: string, shards: Iterable<ShardId>): void {
    createDirectory(shardsDirectory(root));
    const path = recentPath(root);
    for (const more of ["-wal", "-shm", "-journal", ".new"]) fs.rmSync(path + more, { force: true });
    createDatabaseFile(path, emptyDatabase(RECENT_FORMAT, "rollback"));
    const db = new SqlDatabase(path, "readwrite");
    try {
      db.within("BEGIN IMMEDIATE", () => {
        for (const shard of shards) this.#copy(db, shard);
      });
    } finally {
      db.close();
    }
  }

  #copy(db: SqlDatabase, shard: ShardId): void {
    const row = this.#rows.get(shard);
    const pages = this.#pages.get(shard) ?? [];
    const listed = new Set(row && readStack(row.layers).layers.map(({ layer }) => layer));
    for (const { layer, first, through, codec, raw_bytes, data, crc } of pages) {
      if (row !== undefined && !listed.has(layer)) continue;
      const columns = [shard, layer, first, through, codec, raw_bytes, data, crc] as const;
      db.sql("INSERT INTO page VALUES (?, ?, ?, ?, ?, ?, ?, ?)").run(...columns);
    }
    if (row === undefined) return;
    const { flushed_through, term, streams, own_through, layers, crc } = row;
    const values = [shard, flushed_through, term, streams, own_through, layers, crc] as const;
    db.sql("INSERT INTO shard VALUES (?, ?, ?, ?, ?, ?, ?)").run(...values);
  }
}
