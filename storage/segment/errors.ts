/** Errors of the segment side, besides those of every data directory (storage/errors.ts). */
import { CorruptionError } from "../errors.ts";
import type { FlushJob } from "./types.ts";

/**
 * A flush that took no effect. `code` is the system's (ENOSPC, EIO, EACCES …) where it is known, else SQLite's or the error's name;
 * `worker_gone` and `closed` when there is nobody left to flush.
 */
export class FlushError extends Error {
  readonly code: string;
  /** The job with its buffers back, to be flushed again. Absent when the worker died with it. */
  readonly job: FlushJob | undefined;

  constructor(message: string, code: string, job?: FlushJob) {
    super(message);
    this.name = "FlushError";
    this.code = code;
    this.job = job;
  }
}

/** Code of a `FlushError`: what was erased may be in damaged parts of the log that wait for `parley repair`. */
export const KEPT_FOR_DAMAGED = "kept_for_damaged";

const CORRUPT = /^SQLITE_(CORRUPT|NOTADB|IOERR_SHORT_READ)/;
/** What SQLite says of our own questions when a table is not what it was made as. */
const OTHER_SCHEMA = /^(no such (table|column)|table \w+ has (no column|\d+ columns))|malformed/;

/** Whether a flush, an erasure or a compaction failed since what is stored of its shard is damaged. */
export function isOfDamage(error: unknown): boolean {
  if (error instanceof CorruptionError) return true;
  const code = errorCode(error) ?? "";
  return code === CorruptionError.name || isCorrupt(code, error);
}

const isCorrupt = (code: string, error: unknown): boolean =>
  CORRUPT.test(code) || (code === "SQLITE_ERROR" && OTHER_SCHEMA.test((error as Error).message));

/** Of a `FlushError`: the file of all shards is damaged, and nothing can be flushed. */
export const RECENT_DAMAGED = "recent_damaged";

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
