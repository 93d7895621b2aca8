/** Everything that lies in the files below a directory, for tests that look for what must not be there: bytes as they are, and what is packed in them. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { unpack } from "../../../storage/encoding/packing.ts";
import { SqlDatabase } from "../../../storage/files/sqlite/database.ts";

type PackedRow = { codec: number; data: Uint8Array };

/** Names of the files that have these bytes, or where they are once unpacked. The files may be open. */
export function filesWith(dir: string, bytes: Uint8Array): string[] {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath, entry.name));
  // Before any is opened: that folds write-ahead files in.
  const found = paths.filter((path) => unlessGone(path, () => readFileSync(path).includes(bytes)));
  for (const path of paths) {
    const name = basename(path);
    const isState = name === "state.db" || name === "recent.db";
    const tables = /^segment-\d+\.db$/.test(name) ? ["block"] : isState ? ["page", "tail"] : [];
    const isIn = (table: string): boolean =>
      unlessGone(path, () => packedRows(path, table).some((raw) => raw.includes(bytes)));
    if (tables.some(isIn)) found.push(`${path}, unpacked`);
  }
  return found;
}

/** Files come and go while the store works. */
function unlessGone(path: string, look: () => boolean): boolean {
  try {
    return look();
  } catch (error) {
    if (existsSync(path)) throw error;
    return false;
  }
}

function packedRows(path: string, table: string): Buffer[] {
  const db = new SqlDatabase(path, "readwrite");
  try {
    if (db.sql("SELECT 1 FROM sqlite_schema WHERE name = ?").get(table) === undefined) return [];
    const rows = db.sql(`SELECT codec, data FROM ${table}`).all<PackedRow>();
    return rows.map(({ codec, data }) => unpack(codec, Buffer.from(data)));
  } finally {
    db.close();
  }
}
