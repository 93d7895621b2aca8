/**
 * The files open for reading, at most `handlesMax`, least recently used closed first.
 *
 * A file that is still written to is opened read-write but `query_only`: its last reader then takes SQLite's `-wal` and
 * `-shm` files away, which a read-only one leaves behind. An open file in WAL mode has up to three descriptors, a
 * sealed one has one.
 */
import type { SqlDatabase } from "./database.ts";
import { type FileFormat, openDatabaseFile } from "./database-file.ts";

/** SQLite's own cache of one file, in place of 16 MiB each. */
const CACHE_SIZE = "PRAGMA cache_size = -128";

export type FileKind = "sealed" | "written";

export class HandlePool {
  readonly #handlesMax: number;
  /** By path, least recently used first. */
  readonly #open = new Map<string, SqlDatabase>();
  /** Files whose format was checked when they were first opened. Asking for it costs as much as opening them again. */
  readonly #checked = new Set<string>();

  constructor(handlesMax: number) {
    this.#handlesMax = Math.max(2, handlesMax);
  }

  get(path: string, format: FileFormat, kind: FileKind): SqlDatabase {
    const known = this.touch(path);
    if (known !== undefined) return known;
    if (this.#open.size >= this.#handlesMax) this.#closeOldest();
    const db = this.#openNew(path, format, kind);
    this.#open.set(path, db);
    return db;
  }

  /** If the process may open no more files, files that were not used last make room. */
  #openNew(path: string, format: FileFormat, kind: FileKind): SqlDatabase {
    for (;;) {
      try {
        const db = openForReading(path, format, kind, this.#checked.has(path));
        this.#checked.add(path);
        return db;
      } catch (error) {
        if (!cannotOpen(error) || this.#open.size < 2) throw error;
        this.#closeOldest();
      }
    }
  }

  /** The file if it is open; what was touched last is closed last. */
  touch(path: string): SqlDatabase | undefined {
    const known = this.#open.get(path);
    if (known === undefined) return undefined;
    this.#open.delete(path);
    this.#open.set(path, known);
    return known;
  }

  /** The file may be another one when it is opened next. */
  drop(path: string): void {
    this.#checked.delete(path);
    this.#close(path);
  }

  /** Those whose path begins so. */
  dropAll(prefix: string): void {
    for (const path of [...this.#checked]) if (path.startsWith(prefix)) this.drop(path);
  }

  close(): void {
    while (this.#open.size > 0) this.#closeOldest();
  }

  #closeOldest(): void {
    for (const path of this.#open.keys()) return this.#close(path);
  }

  #close(path: string): void {
    this.#open.get(path)?.close();
    this.#open.delete(path);
  }
}

/** SQLite does not say which call of the system failed: it may be another one than of too many files. */
const cannotOpen = (error: unknown): boolean =>
  ((error as { code?: unknown }).code?.toString() ?? "").startsWith("SQLITE_CANTOPEN");

/** @param isChecked this process has found it to be of that format */
export function openForReading(path: string, format: FileFormat, kind: FileKind, isChecked = false): SqlDatabase {
  const db = openDatabaseFile(path, format, kind === "sealed" ? "readonly" : "readwrite", undefined, isChecked);
  // In one go: a statement for each costs more than running it.
  db.exec(kind === "sealed" ? CACHE_SIZE : `${CACHE_SIZE}; PRAGMA query_only = 1`);
  return db;
}
