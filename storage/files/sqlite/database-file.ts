/**
 * Creating and opening the SQLite files of a shard.
 *
 * A file appears whole: it is written under a temporary name, synced, renamed, and its directory is synced. So a crash
 * leaves either no file, or an empty database of this format (and perhaps a `.new` file, which the next attempt
 * overwrites). Files that flushes write to are in WAL mode, so that a reader never waits for the writer; a sealed
 * segment, and what nobody has open for writing, is a single file without.
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { databaseImage, SqlDatabase, type SqlMode } from "./database.ts";
import { CorruptionError, DirectoryLostError, FormatError } from "../../errors.ts";
import { corruptionOr } from "./sqlite-errors.ts";

export type FileFormat = { name: string; applicationId: number; version: number; pageBytes: number; schema: string };

/** Bytes 18 and 19 of a database say which journal its readers and writers must use. */
const JOURNAL_VERSION_AT = 18;
const JOURNAL_VERSIONS = { rollback: 1, wal: 2 };

/** The bytes of an empty database of this format. */
export function emptyDatabase(format: FileFormat, journal: keyof typeof JOURNAL_VERSIONS): Uint8Array {
  const image = databaseImage(
    `PRAGMA page_size = ${format.pageBytes}; PRAGMA application_id = ${format.applicationId};
     PRAGMA user_version = ${format.version}; ${format.schema}`,
  );
  image.fill(JOURNAL_VERSIONS[journal], JOURNAL_VERSION_AT, JOURNAL_VERSION_AT + 2);
  return image;
}

export function createDatabaseFile(path: string, image: Uint8Array): void {
  const fresh = `${path}.new`;
  const fd = openSync(fresh, "w", 0o600);
  try {
    for (let at = 0; at < image.length;) at += writeSync(fd, image, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(fresh, path);
  syncDirectory(dirname(path));
}

/** Creates `path` and what is missing above it, each durable in its parent. */
export function createDirectory(path: string): void {
  if (existsSync(path)) return;
  const parent = dirname(path);
  createDirectory(parent);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  syncDirectory(parent);
}

export function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Opens a file that must be there, of this format or an older one.
 * @throws CorruptionError when it is missing or not ours, FormatError when it is newer, DirectoryLostError when its
 * directory was moved just now.
 */
export function openDatabaseFile(
  path: string,
  format: FileFormat,
  mode: SqlMode,
  busyTimeoutMs?: number,
  isChecked = false,
): SqlDatabase {
  const db = openExisting(path, format, mode, busyTimeoutMs);
  try {
    if (!isChecked) checkFormat(db, format);
    mustBeInPlace(db);
    return db;
  } catch (error) {
    db.close();
    throw corruptionOr(error, path);
  }
}

/**
 * @throws DirectoryLostError when SQLite may have opened, or may make, files of another directory. Nothing was written
 * yet.
 */
export function mustBeInPlace(db: SqlDatabase): void {
  if (!db.isInPlace) throw new DirectoryLostError(`${db.file} was moved while it was being opened`);
}

/** Asks whether the file is there only when it cannot be opened: that question costs as much as opening it. */
function openExisting(path: string, format: FileFormat, mode: SqlMode, busyTimeoutMs?: number): SqlDatabase {
  try {
    return new SqlDatabase(path, mode, busyTimeoutMs);
  } catch (error) {
    if (!existsSync(path)) throw new CorruptionError(path, "this name", `${format.name} is missing`);
    throw error;
  }
}

function checkFormat(db: SqlDatabase, format: FileFormat): void {
  const id = db.pragma("application_id");
  const version = db.pragma("user_version") as number;
  if (id !== format.applicationId) {
    throw new CorruptionError(db.file, "its header", `application id ${String(id)}, not that of a ${format.name}`);
  }
  if (version > format.version) throw new FormatError(db.file, version, format.version);
}

/** An empty file, durable with its name. The directory exists. */
export function createMarker(path: string): void {
  closeSync(openSync(path, "w", 0o600));
  syncDirectory(dirname(path));
}

export function removeMarker(path: string): void {
  rmSync(path, { force: true });
  syncDirectory(dirname(path));
}
