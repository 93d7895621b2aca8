/**
 * When root works in the data directory of a server that runs as another user, that server must still be able to open
 * every file.
 */
import * as fs from "node:fs";
import { errnoOf } from "./startup-errors.ts";

/**
 * Makes the owner of `like` the owner of a directory and everything in it. Unchanged where the file system cannot do
 * that.
 */
export function giveToOwnerOf(like: string, directory: string, say: (line: string) => void): void {
  if (process.getuid?.() !== 0) return;
  try {
    const { uid, gid } = fs.statSync(like);
    for (const name of [".", ...(fs.readdirSync(directory, { recursive: true }) as string[])]) {
      // `directory` itself may be a link to an open directory.
      const path = `${directory}/${name}`;
      const found = fs.lstatSync(path);
      if (found.uid !== uid || found.gid !== gid) fs.lchownSync(path, uid, gid);
    }
  } catch (error) {
    say(`parley: files made by root still belong to root (${errnoOf(error) ?? String(error)})\n`);
  }
}
