/**
 * SQLite files that flushes write to: in WAL mode, so that a reader never waits, each commit durable when it returns.
 */
import { existsSync, statSync } from "node:fs";
import { BUSY_TIMEOUT_MS, type SqlDatabase } from "./database.ts";
import {
  createDatabaseFile,
  emptyDatabase,
  type FileFormat,
  mustBeInPlace,
  openDatabaseFile,
} from "./database-file.ts";

/** SQLite's own cache of a file that is written to. Sixteen times as much makes no flush faster. */
const CACHE_KIB = 1024;

/** The directory exists. A file that must be there is not made when it is missing. */
export function openForWriting(path: string, format: FileFormat, mayBeMissing: boolean): SqlDatabase {
  if (mayBeMissing && !existsSync(path)) createDatabaseFile(path, emptyDatabase(format, "wal"));
  const db = openDatabaseFile(path, format, "readwrite");
  db.pragma("journal_mode = WAL");
  // It may have made the write-ahead file only now.
  mustBeInPlace(db);
  db.pragma("synchronous = FULL");
  db.pragma("wal_autocheckpoint = 0");
  db.pragma(`cache_size = -${CACHE_KIB}`);
  return db;
}

/** How long folding waits for a reader, such as a shell that is left open. Flushes of all shards wait meanwhile. */
const FOLD_BUSY_TIMEOUT_MS = 20;

/**
 * Folds the write-ahead file in, as far as nobody reads it, when it is larger than this. What is in it is committed:
 * failing (a full disk) takes nothing back, and a later one does it.
 */
export function fold(db: SqlDatabase, walBytesMax = 0): void {
  const wal = `${db.file}-wal`;
  try {
    if (!existsSync(wal) || statSync(wal).size <= walBytesMax) return;
    db.pragma(`busy_timeout = ${FOLD_BUSY_TIMEOUT_MS}`);
    db.pragma("wal_checkpoint(TRUNCATE)");
  } catch {
    return;
  } finally {
    db.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`);
  }
}

/**
 * A single file is left, where nobody reads it: it is opened six times faster. Not where its directory was moved:
 * SQLite would remove another's write-ahead file.
 */
export function leaveWal(db: SqlDatabase): void {
  try {
    if (!db.isInPlace) return;
    db.pragma("busy_timeout = 0");
    db.pragma("journal_mode = DELETE");
  } catch {
    return;
  }
}
