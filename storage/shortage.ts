/**
 * Why a store wants no new work, as a closed list. The store's user reports it in words of its own.
 *
 * `errno` names of the system decide where one is known: the same failed call can mean a full disk, a process without
 * file descriptors, or a directory that is not there any more, and each wants something else done about it.
 */
export type Shortage =
  /** The directory of the log is not where it was. */
  | "directory lost"
  /** Another program writes to it, too. */
  | "other writer"
  | "disk full"
  /** The process, or the machine, may open no more files. */
  | "no descriptors"
  /** A write failed for another reason; read only until the store is opened anew. */
  | "log failed"
  /** The log's next file cannot be made for another reason, and the room of this one is for what is under way. */
  | "log stuck"
  /** Memory is full of records that wait for a flush. */
  | "memory full"
  /** More bytes wait for the log than it should let wait. */
  | "log behind";

const BY_ERRNO: Partial<Record<string, Shortage>> = {
  ENOENT: "directory lost",
  ENOTDIR: "directory lost",
  ESTALE: "directory lost",
  EOTHERWRITER: "other writer",
  ENOSPC: "disk full",
  EDQUOT: "disk full",
  EMFILE: "no descriptors",
  ENFILE: "no descriptors",
};

/** What an error of the log means, by the first known errno in its chain of causes. */
export function shortageOf(error: unknown): Shortage | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const found = "code" in at && typeof at.code === "string" ? BY_ERRNO[at.code] : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Whether the system has just said so, of this very call. */
export function isDiskFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOSPC" || code === "EDQUOT";
}
