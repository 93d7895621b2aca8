/** Reading a file at once, where anything else may stand in its place. */
import * as fs from "node:fs";
import { CorruptionError } from "../errors.ts";

/** @throws CorruptionError for what is no regular file: reading a pipe would wait. What the system says */
export function readWholeFile(path: string): Buffer {
  mustBeFile(path, fs.statSync(path));
  return fs.readFileSync(path);
}

/** Of a directory the system says so itself, when it is read. */
export function mustBeFile(path: string, look: fs.Stats): void {
  if (look.isFile() || look.isDirectory()) return;
  throw new CorruptionError(path, "this name", "it is no regular file");
}
