/** What can be wrong with a data directory. Each names the file and the place, and none is guessed over. */

import type { ShardId } from "./types.ts";

/** Bytes that were once written whole and no longer are what they were. */
export class CorruptionError extends Error {
  readonly file: string;
  readonly place: string;
  /** Whose data it is, where that is known. */
  shard: ShardId | undefined = undefined;

  constructor(file: string, place: string, what: string) {
    super(`${file}: ${what} at ${place}`);
    this.name = "CorruptionError";
    this.file = file;
    this.place = place;
  }
}

/**
 * A shard whose data is damaged is closed: nothing is read from it or written to it before it was repaired. The others
 * are not concerned.
 */
export class DamagedShardError extends CorruptionError {
  constructor(shard: ShardId, what: string) {
    super(`shard ${shard}`, "what is stored of it", `damaged (${what})`);
    this.name = "DamagedShardError";
    this.shard = shard;
    this.message = `shard ${shard} is damaged: ${what}`;
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
 * This node may not append to the shard any more: its term is over. The record is not in the log, and will never be.
 * It has used no offset.
 */
export class FencedError extends Error {
  readonly shard: ShardId;

  constructor(shard: ShardId, what: string) {
    super(`shard ${shard} takes nothing more from this node: ${what}`);
    this.name = "FencedError";
    this.shard = shard;
  }
}

/** Why a record that was appended is not in the log, or may not be. */
export type LogFailure = LogFailedError | FencedError;

/**
 * The directory is not where it was, or is not the one it was. Nothing more may be written, and nothing is wrong with
 * what was. `code` is the system's word for a file that is not behind its name any more.
 */
export class DirectoryLostError extends Error {
  readonly code: string = "ESTALE";

  constructor(what: string) {
    super(what);
    this.name = "DirectoryLostError";
  }
}

/**
 * Somebody else writes to the directory at the same time: the locks did not keep them apart. What was written may be
 * lost or mixed.
 */
export class OtherWriterError extends DirectoryLostError {
  override readonly code = "EOTHERWRITER";

  constructor(what: string) {
    super(what);
    this.name = "OtherWriterError";
  }
}
