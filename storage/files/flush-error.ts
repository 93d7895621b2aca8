/** A flush that failed, and whether damage is why. */
import { CorruptionError } from "../errors.ts";
import { errorCode, isCorrupt } from "./sqlite/sqlite-errors.ts";

/**
 * A flush that took no effect. `code` is the system's (ENOSPC, EIO, EACCES …) where it is known, else SQLite's or the
 * error's name; `worker_gone` and `closed` when there is nobody left to flush.
 */
export class FlushError extends Error {
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.name = "FlushError";
    this.code = code;
  }
}

/** Code of a `FlushError`: what was erased may be in damaged parts of the log that wait for `parley repair`. */
export const KEPT_FOR_DAMAGED = "kept_for_damaged";

/** Whether a flush, an erasure or a compaction failed since what is stored of its shard is damaged. */
export function isOfDamage(error: unknown): boolean {
  if (error instanceof CorruptionError) return true;
  const code = errorCode(error) ?? "";
  return code === CorruptionError.name || isCorrupt(code, error);
}

/** Of a `FlushError`: the file of all shards is damaged, and nothing can be flushed. */
export const RECENT_DAMAGED = "recent_damaged";
