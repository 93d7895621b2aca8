/** What can be wrong with a data directory. Each names the file and the place, and none is guessed over. */

/** Bytes that were once written whole and no longer are what they were. */
export class CorruptionError extends Error {
  readonly file: string;
  readonly place: string;

  constructor(file: string, place: string, what: string) {
    super(`${file}: ${what} at ${place}`);
    this.name = "CorruptionError";
    this.file = file;
    this.place = place;
  }
}

/** Written by a newer version than this one. */
export class FormatError extends Error {
  constructor(file: string, found: number, known: number) {
    super(`${file}: format version ${found}, this version reads up to ${known}; use a newer parley`);
    this.name = "FormatError";
  }
}

/** The log could not be written. What was not acknowledged is unknown until it is recovered from disk. */
export class LogFailedError extends Error {
  constructor(cause: unknown) {
    super(`the log could not be written: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.name = "LogFailedError";
  }
}

/**
 * The directory is not where it was, is not the one it was, or somebody else writes to it. Nothing more may be written, and nothing is wrong with what was.
 * `code` is the system's word for a file that is not behind its name any more.
 */
export class DirectoryLostError extends Error {
  readonly code = "ESTALE";

  constructor(what: string) {
    super(what);
    this.name = "DirectoryLostError";
  }
}
