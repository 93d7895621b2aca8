/** Damages what is stored of one shard, as a disk would: rows that fail their checksums. */
import { join } from "node:path";
import { shardOf, type Address } from "../../src/domain/address.ts";
import { SqlDatabase } from "../../storage/files/sqlite/database.ts";

const CHANGES = {
  shard: "UPDATE shard SET flushed_through = flushed_through + 1 WHERE shard = ?",
  page: "UPDATE page SET raw_bytes = raw_bytes + 1 WHERE shard = ?",
};

/**
 * In `recent.db`: the row that is looked at when the directory is opened, or pages that are read when somebody asks.
 */
export function damageRecent(directory: string, address: string, table: keyof typeof CHANGES): void {
  const db = new SqlDatabase(join(directory, "shards/recent.db"), "readwrite");
  try {
    if (db.sql(CHANGES[table]).run(shardOf(address as Address)) === 0)
      throw new Error(`${address} has no row in ${table}`);
  } finally {
    db.close();
  }
}

/** A group id that lives in the shard of another address, or another user. */
export function neighbour(sigil: "@" | "#", address: string): string {
  for (let n = 0; ; n++) {
    if (shardOf(`${sigil}n${n}` as Address) === shardOf(address as Address)) return `n${n}`;
  }
}
