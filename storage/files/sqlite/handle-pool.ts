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
const CACHE_KIB = 128;

export type FileKind = "sealed" | "written";

export class HandlePool {
  readonly #handlesMax: number;
  /** By path, least recently used first. */
  readonly #open = new Map<string, SqlDatabase>();

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
        return openForReading(path, format, kind);
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

  drop(path: string): void {
    this.#open.get(path)?.close();
    this.#open.delete(path);
  }

  /** Those whose path begins so. */
  dropAll(prefix: string): void {
    for (const path of [...this.#open.keys()]) if (path.startsWith(prefix)) this.drop(path);
  }

  close(): void {
    while (this.#open.size > 0) this.#closeOldest();
  }

  #closeOldest(): void {
    for (const path of this.#open.keys()) return this.drop(path);
  }
}

/** SQLite does not say which call of the system failed: it may be another one than of too many files. */
const cannotOpen = (error: unknown): boolean =>
  ((error as { code?: unknown }).code?.toString() ?? "").startsWith("SQLITE_CANTOPEN");

export function openForReading(path: string, format: FileFormat, kind: FileKind): SqlDatabase {
  const db = openDatabaseFile(path, format, kind === "sealed" ? "readonly" : "readwrite");
  db.pragma(`cache_size = -${CACHE_KIB}`);
  if (kind === "written") db.pragma("query_only = 1");
  return db;
}
