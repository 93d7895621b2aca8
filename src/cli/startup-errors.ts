/** Turns errors of the system and the storage into `FatalError`s, with a line and an exit status. */
import { CorruptionError, DirectoryLostError, FormatError, OtherWriterError } from "../../storage/errors.ts";
import { KeyFileError } from "../base/key-file.ts";
import { FatalError } from "./fatal-error.ts";

/** The system's name of the error, such as ENOSPC, from anywhere in the chain of causes. */
export function errnoOf(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ("code" in at && typeof at.code === "string" && /^(E[A-Z0-9]+|SQLITE_[A-Z_]+)$/.test(at.code)) return at.code;
  }
  return undefined;
}

/** Undefined when the error says nothing about a disk. */
export function fatalFromDisk(error: unknown, what: string): FatalError | undefined {
  const errno = errnoOf(error);
  switch (errno) {
    case "ENOSPC":
    case "EDQUOT":
    case "SQLITE_FULL":
      return new FatalError("diskFull", `${what}: the disk is full (${errno})`, {
        hint: "make room and start again",
        cause: error,
      });
    case "EACCES":
    case "EPERM":
    case "EROFS":
    case "ENOTDIR":
    case "EEXIST":
    case "ENOENT":
    case "ENAMETOOLONG":
    case "SQLITE_READONLY":
    case "SQLITE_CANTOPEN":
      return new FatalError("dataUnwritable", `${what} cannot be written: ${REASON[errno] ?? errno}`, {
        hint: "give another --data, or change its owner or mode",
        cause: error,
      });
    case "EIO":
    case "EISDIR":
      return new FatalError("corrupt", `${what} cannot be read: ${REASON[errno]}`, { hint: REPAIR, cause: error });
    default:
      if (errno?.startsWith("SQLITE_IOERR") !== true) return undefined;
      return new FatalError("corrupt", `${what} cannot be read: ${REASON["EIO"]}`, { hint: REPAIR, cause: error });
  }
}

const REPAIR = 'look at the disk; run "parley repair", or restore the directory from a backup';

const REASON: Record<string, string> = {
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EROFS: "the file system is read-only",
  ENOTDIR: "part of the path is not a directory",
  EEXIST: "there is a file of that name",
  ENOENT: "it cannot be made there",
  ENAMETOOLONG: "the name is too long",
  EIO: "the disk reports an error",
  EISDIR: "there is a directory in the place of a file",
};

/**
 * Turns an error that a server throws at the start or later into a FatalError. Undefined: a programmer's error, which
 * keeps its stack.
 * @param named replaces paths in errors by the names that people know
 */
export function fatalFrom(
  error: unknown,
  where: { host: string; port: number; data: string },
  named: (text: string) => string = (text) => text,
): FatalError | undefined {
  if (error instanceof FatalError) return error;
  if (error instanceof FormatError) return new FatalError("formatTooNew", named(error.message), { cause: error });
  if (error instanceof CorruptionError) {
    const hint = 'run "parley repair", or restore the directory from a backup; nothing was changed';
    return new FatalError("corrupt", named(error.message), { hint, cause: error });
  }
  if (error instanceof KeyFileError) return new FatalError("corrupt", named(error.message), { cause: error });
  if (error instanceof OtherWriterError) {
    const hint = "stop the other server, then see what parley verify says";
    return new FatalError("dataLocked", named(error.message), { hint, cause: error });
  }
  if (error instanceof DirectoryLostError) {
    const hint = "it must stay where it is while it is in use; start again";
    return new FatalError("dataUnwritable", named(error.message), { hint, cause: error });
  }
  return fatalFromListening(error, where) ?? fatalFromDisk(error, `data directory ${where.data}`);
}

function fatalFromListening(error: unknown, { host, port }: { host: string; port: number }): FatalError | undefined {
  const hint = "give another --port";
  switch (errnoOf(error)) {
    case "EADDRINUSE":
      return new FatalError("portUnavailable", `port ${port} on ${host} is in use`, { hint, cause: error });
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return new FatalError("portUnavailable", `${host} is not an address of this machine`, {
        hint: "give another --host",
        cause: error,
      });
    case "EACCES":
      if (!(error instanceof Error && "syscall" in error && error.syscall === "listen")) return undefined;
      return new FatalError("portUnavailable", `port ${port} on ${host} is not allowed for this user`, {
        hint,
        cause: error,
      });
    default:
      return undefined;
  }
}
