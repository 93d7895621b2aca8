/**
 * The file system of a program that works in a directory only while it is its own: asked before every call that makes,
 * renames, cuts or removes a name. Writes to files that are open go on as they are: those files are the program's own,
 * wherever they are now.
 */
import type { FileSystem } from "./file-system.ts";

/** @param mustOwn throws what such a call fails with */
export function guardedFiles(files: FileSystem, mustOwn: () => void): FileSystem {
  const owned = <Args extends unknown[], Result>(call: (...args: Args) => Result): ((...args: Args) => Result) => {
    return (...args) => {
      mustOwn();
      return call(...args);
    };
  };
  return {
    ...files,
    makeDirectory: owned(files.makeDirectory),
    openDurable: owned(files.openDurable),
    rename: owned(files.rename),
    remove: owned(files.remove),
    truncate: owned(files.truncate),
    fillZeros(path, length, stopped, done) {
      try {
        mustOwn();
      } catch (error) {
        return void setImmediate(() => done(error as Error));
      }
      files.fillZeros(path, length, stopped, done);
    },
  };
}
