/** The copy of a repair: what a key is when the disk does not give it, and whose the copy is. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import * as fs from "node:fs";
import { join } from "node:path";
import { copyToRepair } from "../../src/cli/repair-copy.ts";
import { listFiles } from "../../storage/tools/inventory.ts";
import { type ReadAt, systemRead } from "../../storage/tools/repair/torn-read.ts";
import { BUN, MAIN, run, temporaryDirectory } from "./processes.ts";

let place: ReturnType<typeof temporaryDirectory>;
let source: string;
beforeEach(() => {
  place = temporaryDirectory();
  source = join(place.path, "data");
  fs.mkdirSync(source, { mode: 0o700 });
  fs.writeFileSync(join(source, "id.key"), Buffer.alloc(16, 7));
  fs.writeFileSync(join(source, "token.key"), Buffer.alloc(32, 7));
});
afterEach(() => place.remove());

test("a key that the disk cannot read is made anew, and cannot be guessed", async () => {
  const { ino } = fs.statSync(join(source, "token.key"));
  const read: ReadAt = (file, into, start, length, position) => {
    if (fs.fstatSync(file).ino === ino) throw Object.assign(new Error("EIO: i/o error, read"), { code: "EIO" });
    return systemRead(file, into, start, length, position);
  };
  const { data, keys } = await copyToRepair(source, join(place.path, "copy"), () => {}, read);
  const names = listFiles(data.held.at).map(({ path }) => path);
  data.release();
  expect(names.filter((name) => name.endsWith(".key"))).toEqual(["id.key"]);
  expect(keys).toEqual([expect.stringContaining("token.key cannot be read and is made anew: everybody has to log in")]);
});

test("a copy that root makes belongs to the owner of the directory, whose server can open it", async () => {
  const [uid, gid] = process.getuid!() === 0 ? [1234, 1235] : [process.getuid!(), process.getgid!()];
  for (const path of [source, join(source, "id.key")]) fs.chownSync(path, uid, gid);
  const to = join(place.path, "whole");
  expect((await run([BUN, MAIN, "repair", "--data", source, "--to", to])).status).toBe(0);
  const paths = [".", ...(fs.readdirSync(to, { recursive: true }) as string[])];
  expect(paths.length).toBeGreaterThan(4);
  const others = paths.filter(
    (path) => fs.statSync(join(to, path)).uid !== uid || fs.statSync(join(to, path)).gid !== gid,
  );
  expect(others).toEqual([]);
});

test("what root writes in somebody's directory is theirs when the command has ended", async () => {
  const [uid, gid] = process.getuid!() === 0 ? [1234, 1235] : [process.getuid!(), process.getgid!()];
  fs.chownSync(source, uid, gid);
  // There is no such user; the directory was opened, and its log begun.
  await run([BUN, MAIN, "reset-password", "--user", "nobody", "--data", source]);
  expect(fs.existsSync(join(source, "wal"))).toBe(true);
  const paths = [".", ...(fs.readdirSync(source, { recursive: true }) as string[])];
  expect(paths.filter((path) => fs.statSync(join(source, path)).uid !== uid)).toEqual([]);
});
