/**
 * Creating and opening the SQLite files of a shard.
 *
 * A file appears whole: it is written under a temporary name, synced, renamed, and its directory is synced. So a crash leaves either no
 * file, or an empty database of this format (and perhaps a `.new` file, which the next attempt overwrites). Files are born in WAL mode, so
 * that a reader never waits for the writer; a sealed segment leaves it.
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { databaseImage, SqlDatabase, type SqlMode } from "../sqlite.ts";
import { CorruptionError, FormatError } from "../errors.ts";
import { corruptionOr } from "./errors.ts";

export type FileFormat = { name: string; applicationId: number; version: number; pageBytes: number; schema: string };

/** Bytes 18 and 19 of a database say which journal its readers and writers must use; 2 is WAL. */
const JOURNAL_VERSION_AT = 18;

/** The bytes of an empty database of this format. */
export function emptyDatabase(format: FileFormat): Uint8Array {
  const image = databaseImage(
    `PRAGMA page_size = ${format.pageBytes}; PRAGMA application_id = ${format.applicationId};
     PRAGMA user_version = ${format.version}; ${format.schema}`,
  );
  image.fill(2, JOURNAL_VERSION_AT, JOURNAL_VERSION_AT + 2);
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

function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Opens a file that must be there, of this format or an older one.
 * @throws CorruptionError when it is missing or not ours, FormatError when it is newer.
 */
export function openDatabaseFile(path: string, format: FileFormat, mode: SqlMode, busyTimeoutMs?: number): SqlDatabase {
  if (!existsSync(path)) throw new CorruptionError(path, "this name", `${format.name} is missing`);
  const db = new SqlDatabase(path, mode, busyTimeoutMs);
  try {
    checkFormat(db, format);
    return db;
  } catch (error) {
    db.close();
    throw corruptionOr(error, path);
  }
}

function checkFormat(db: SqlDatabase, format: FileFormat): void {
  const id = db.pragma("application_id");
  const version = db.pragma("user_version") as number;
  if (id !== format.applicationId) {
    throw new CorruptionError(db.file, "its head", `application id ${String(id)}, not that of a ${format.name}`);
  }
  if (version > format.version) throw new FormatError(db.file, version, format.version);
}
