/** What SQLite's errors mean. */
import { CorruptionError } from "../../errors.ts";

const CORRUPT = /^SQLITE_(CORRUPT|NOTADB|IOERR_SHORT_READ)/;
/** What SQLite says of our own questions when a table is not what it was made as. */
const OTHER_SCHEMA = /^(no such (table|column)|table \w+ has (no column|\d+ columns))|malformed/;

export const isCorrupt = (code: string, error: unknown): boolean =>
  CORRUPT.test(code) || (code === "SQLITE_ERROR" && OTHER_SCHEMA.test((error as Error).message));

/** An error of SQLite about `file`, as corruption where it is that; any other error as it is. */
export function corruptionOr(error: unknown, file: string): unknown {
  const code = errorCode(error);
  if (code === undefined || !isCorrupt(code, error)) return error;
  return new CorruptionError(file, "an unknown page", `${code}: ${(error as Error).message}`);
}

export function errorCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : undefined;
}

/** SQLite's words for what the system said, so that a caller need not know both. */
export function systemCode(code: string): string {
  if (code === "SQLITE_FULL") return "ENOSPC";
  if (code === "SQLITE_CANTOPEN" || code === "SQLITE_READONLY") return "EACCES";
  return code.startsWith("SQLITE_IOERR") ? "EIO" : code;
}
