/**
 * The port of storage/files/sqlite/database.ts over bun:sqlite, only for the bench's comparison. Blobs are Buffers, as
 * the store expects.
 */
import { Database, type Statement } from "bun:sqlite";
import type { SqlMode, SqlStatement, SqlValue } from "../../storage/files/sqlite/database.ts";

export type { SqlMode, SqlStatement, SqlValue } from "../../storage/files/sqlite/database.ts";

/** Not imported from there, because this file replaces it. */
export const BUSY_TIMEOUT_MS: typeof import("../../storage/files/sqlite/database.ts").BUSY_TIMEOUT_MS = 5000;

export class SqlDatabase {
  readonly file: string;
  readonly #db: Database;
  readonly #statements = new Map<string, SqlStatement>();
  readonly #prepared: Statement[] = [];
  readonly namedTables = new Set<string>();

  constructor(file: string, mode: SqlMode, busyTimeoutMs = BUSY_TIMEOUT_MS) {
    this.file = file;
    this.#db = new Database(file, mode === "readonly" ? { readonly: true } : { readwrite: true, create: false });
    this.#db.run(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
  }

  sql(text: string): SqlStatement {
    const known = this.#statements.get(text);
    if (known !== undefined) return known;
    const prepared = this.#db.prepare(text);
    this.#prepared.push(prepared);
    const made = wrap(prepared);
    this.#statements.set(text, made);
    return made;
  }

  exec(text: string): void {
    this.#db.run(text);
  }

  pragma(text: string): unknown {
    const statement = this.#db.prepare(`PRAGMA ${text}`);
    const row = statement.get() as Record<string, unknown> | null;
    statement.finalize();
    return row === null ? undefined : Object.values(row)[0];
  }

  within<T>(begin: "BEGIN" | "BEGIN IMMEDIATE", run: () => T): T {
    this.sql(begin).run();
    try {
      const result = run();
      this.sql("COMMIT").run();
      return result;
    } catch (error) {
      if (this.#db.inTransaction) this.sql("ROLLBACK").run();
      throw error;
    }
  }

  /** The bench's directories are never moved. */
  readonly isInPlace = true;

  get inTransaction(): boolean {
    return this.#db.inTransaction;
  }

  /** The file stays open and its `-wal` file stays, as long as a statement is not finalized. */
  close(): void {
    for (const statement of this.#prepared) statement.finalize();
    this.#db.close(true);
  }
}

export function databaseImage(schema: string): Uint8Array {
  const db = new Database(":memory:");
  try {
    db.run(schema);
    return db.serialize();
  } finally {
    db.close();
  }
}

function wrap(statement: Statement): SqlStatement {
  return {
    run: (...values) => statement.run(...(values as never[])).changes,
    get: <Row>(...values: SqlValue[]) => withBuffers(statement.get(...(values as never[]))) as Row | undefined,
    all: <Row>(...values: SqlValue[]) => statement.all(...(values as never[])).map(withBuffers) as Row[],
    *each<Row>(...values: SqlValue[]) {
      for (const row of statement.iterate(...(values as never[]))) yield withBuffers(row) as Row;
    },
  };
}

/** As better-sqlite3 gives them: undefined for no row, a Buffer for a blob. */
function withBuffers(row: unknown): unknown {
  if (row === null || row === undefined) return undefined;
  const columns = row as Record<string, unknown>;
  for (const name in columns) {
    const value = columns[name];
    if (value instanceof Uint8Array) columns[name] = Buffer.from(value.buffer, value.byteOffset, value.length);
  }
  return columns;
}
