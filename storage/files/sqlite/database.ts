/**
 * The one file that imports a SQLite driver: a thin port, so that another one (bun:sqlite) can take its place and be
 * compared.
 *
 * Not an ORM and not a pool. Statements are prepared once per open file and kept by their text. Integers are JavaScript
 * numbers: everything the store keeps is below 2^51, where SQLite still turns a bound double into an integer without
 * loss.
 *
 * Never open, read or copy a file through `node:fs` while it is open here: closing any descriptor of a file drops the
 * POSIX locks that the whole process holds on it.
 */
import BetterSqlite from "better-sqlite3";
import { isSameFile, presentName } from "../../vfs/held-directory.ts";

export type SqlValue = number | string | Uint8Array | null;

export type SqlStatement = {
  /** Returns how many rows changed. */
  run(...values: SqlValue[]): number;
  get<Row>(...values: SqlValue[]): Row | undefined;
  all<Row>(...values: SqlValue[]): Row[];
  /** Row by row; the database can do nothing else meanwhile but read. */
  each<Row>(...values: SqlValue[]): IterableIterator<Row>;
};

/** How long a connection waits for a lock of another one by default. */
export const BUSY_TIMEOUT_MS = 5000;

export type SqlMode = "readonly" | "readwrite";

export class SqlDatabase {
  readonly file: string;
  /** The name that SQLite got: it looks names up by itself, and puts its own files beside the one it found. */
  readonly #openedAs: string;
  readonly #db: BetterSqlite.Database;
  readonly #statements = new Map<string, SqlStatement>();
  /** Tables whose columns were found to have their names (row-crc.ts). */
  readonly namedTables = new Set<string>();

  /**
   * The file must exist. Waits at most `busyTimeoutMs` for a lock of another connection. With `image`, a database in
   * memory of those bytes, of which `file` is only the name; a header that asks for WAL mode cannot be opened so.
   */
  constructor(file: string, mode: SqlMode, busyTimeoutMs = BUSY_TIMEOUT_MS, image?: Buffer) {
    this.file = file;
    this.#openedAs = image === undefined ? presentName(file) : file;
    this.#db =
      image === undefined
        ? new BetterSqlite(this.#openedAs, {
            fileMustExist: true,
            readonly: mode === "readonly",
            timeout: busyTimeoutMs,
          })
        : new BetterSqlite(image, { readonly: true });
  }

  /** The prepared statement of this text. */
  sql(text: string): SqlStatement {
    const known = this.#statements.get(text);
    if (known !== undefined) return known;
    const made = wrap(this.#db.prepare(text));
    this.#statements.set(text, made);
    return made;
  }

  exec(text: string): void {
    this.#db.exec(text);
  }

  /** Runs `PRAGMA text`, returns the first column of the first row. */
  pragma(text: string): unknown {
    return this.#db.pragma(text, { simple: true });
  }

  /** All or nothing. `begin` is BEGIN IMMEDIATE for a writer, BEGIN for a reader that wants one moment of the file. */
  within<T>(begin: "BEGIN" | "BEGIN IMMEDIATE", work: () => T): T {
    this.sql(begin).run();
    try {
      const result = work();
      this.sql("COMMIT").run();
      return result;
    } catch (error) {
      if (this.#db.inTransaction) this.sql("ROLLBACK").run();
      throw error;
    }
  }

  /**
   * Whether the name that SQLite knows still is this file's. Where it is not, SQLite makes and removes files beside
   * another one: asked after opening, and before what makes or removes its write-ahead file.
   */
  get isInPlace(): boolean {
    return isSameFile(this.#openedAs, this.file);
  }

  get inTransaction(): boolean {
    return this.#db.inTransaction;
  }

  close(): void {
    this.#db.close();
  }
}

/** The bytes of a new database with this schema, to be written to a file. */
export function databaseImage(schema: string): Uint8Array {
  const db = new BetterSqlite(":memory:");
  try {
    db.exec(schema);
    return db.serialize();
  } finally {
    db.close();
  }
}

function wrap(statement: BetterSqlite.Statement): SqlStatement {
  return {
    run: (...values) => statement.run(...values).changes,
    get: <Row>(...values: SqlValue[]) => statement.get(...values) as Row | undefined,
    all: <Row>(...values: SqlValue[]) => statement.all(...values) as Row[],
    each: <Row>(...values: SqlValue[]) => statement.iterate(...values) as IterableIterator<Row>,
  };
}
