/** Replaces a small file as a whole, durably, before it returns: for what must be known before a message is sent. */
import * as fs from "node:fs";
import { dirname } from "node:path";

export function writeDurably(path: string, text: string): void {
  const fresh = `${path}.new`;
  const file = fs.openSync(fresh, "w", 0o600);
  try {
    fs.writeSync(file, text);
    fs.fsyncSync(file);
  } finally {
    fs.closeSync(file);
  }
  fs.renameSync(fresh, path);
  const directory = fs.openSync(dirname(path), "r");
  try {
    fs.fsyncSync(directory);
  } finally {
    fs.closeSync(directory);
  }
}
