/** Root works in the data directory of a server that runs as somebody else: that server must be able to open every file. */
import * as fs from "node:fs";
import { errnoOf } from "./startup-errors.ts";

/** Gives a directory and all in it to the owner of `like`. A file system that cannot do that leaves them as they are. */
export function giveToOwnerOf(like: string, directory: string, say: (line: string) => void): void {
  if (process.getuid?.() !== 0) return;
  try {
    const { uid, gid } = fs.statSync(like);
    for (const name of [".", ...(fs.readdirSync(directory, { recursive: true }) as string[])]) {
      // `directory` itself may be a link to what is held open.
      const path = `${directory}/${name}`;
      const found = fs.lstatSync(path);
      if (found.uid !== uid || found.gid !== gid) fs.lchownSync(path, uid, gid);
    }
  } catch (error) {
    say(`parley: files that root has made stay root's (${errnoOf(error) ?? String(error)})\n`);
  }
}
