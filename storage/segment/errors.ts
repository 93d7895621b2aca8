/** What can be wrong with the files of the segment side, as errors that say where. */
import type { FlushJob } from "./types.ts";

/** Bytes on disk are not what was written. Nothing is guessed: the read that met them fails. */
export class CorruptionError extends Error {
  readonly file: string;
  readonly table: string | undefined;
  readonly row: number | undefined;

  constructor(what: string, place: { file: string; table?: string; row?: number }, cause?: unknown) {
    const row = place.row === undefined ? "" : ` row ${place.row}`;
    const table = place.table === undefined ? "" : `, table ${place.table}${row}`;
    super(`${what}: ${place.file}${table}`, cause === undefined ? undefined : { cause });
    this.name = "CorruptionError";
    this.file = place.file;
    this.table = place.table;
    this.row = place.row;
  }
}

/** The file is not ours, or was written by a newer program. */
export class FormatError extends Error {
  readonly file: string;

  constructor(what: string, file: string) {
    super(`${what}: ${file}`);
    this.name = "FormatError";
    this.file = file;
  }
}

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

const CORRUPT = /^SQLITE_(CORRUPT|NOTADB|IOERR_SHORT_READ)/;

/** An error of SQLite about `file`, as corruption where it is that; any other error as it is. */
export function corruptionOr(error: unknown, file: string): unknown {
  const code = errorCode(error);
  if (code === undefined || !CORRUPT.test(code)) return error;
  return new CorruptionError(`not a whole database (${code})`, { file }, error);
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
