/** Who gets a data directory, whatever is done to the names in it and to its own. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { fstatSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join, relative } from "node:path";
import { lockForReading, lockDataDirectory, type DataDirectory } from "../../src/cli/data-directory.ts";
import { systemFlock, type Flock } from "../../src/cli/directory-lock.ts";
import { EXIT_STATUS, FatalError } from "../../src/cli/fatal-error.ts";
import { BUN, run, start, temporaryDirectory, until } from "./processes.ts";

const HOLDER = join(import.meta.dir, "programs/hold-data-directory.ts");
const OLDER_HOLDER = join(import.meta.dir, "programs/hold-lock-file.ts");

let temporary: ReturnType<typeof temporaryDirectory>;
let directory: string;
let taken: DataDirectory[];
beforeEach(() => {
  temporary = temporaryDirectory();
  directory = join(temporary.path, "data");
  taken = [];
});
afterEach(() => {
  for (const data of taken) data.release();
  temporary.remove();
});

function take(path: string, flock?: Flock): DataDirectory {
  const data = lockDataDirectory(path, flock);
  taken.push(data);
  return data;
}

function refusal(path: string, flock?: Flock): FatalError {
  try {
    take(path, flock);
  } catch (error) {
    if (error instanceof FatalError) return error;
    throw error;
  }
  throw new Error(`${path} was taken`);
}

test("removing LOCK does not free the directory, for writing or reading, in this process or another", async () => {
  take(directory);
  rmSync(join(directory, "LOCK"));
  expect(refusal(directory).reason).toBe("dataLocked");
  expect(() => lockForReading(directory)).toThrow("in use by another process");
  const other = await run([BUN, HOLDER, directory]);
  expect(other.status).toBe(EXIT_STATUS.dataLocked);
});

test("a reader keeps servers out even if LOCK is removed", () => {
  take(directory).release();
  const reader = lockForReading(directory);
  rmSync(join(directory, "LOCK"));
  expect(refusal(directory).reason).toBe("dataLocked");
  reader.release();
  take(directory);
});

test("a LOCK that was removed is made again, and keeps an older version out", async () => {
  const data = take(directory);
  rmSync(join(directory, "LOCK"));
  data.held.check();
  expect(readFileSync(join(directory, "LOCK"), "utf8")).toBe(`${process.pid}\n`);
  expect((await run([BUN, OLDER_HOLDER, directory])).stdout).toBe("refused\n");
  // One that nobody has locked is as good as none.
  rmSync(join(directory, "LOCK"));
  writeFileSync(join(directory, "LOCK"), "somebody's");
  data.held.check();
  expect((await run([BUN, OLDER_HOLDER, directory])).stdout).toBe("refused\n");
});

test("an older version that locked a new LOCK first is detected, for as long as it holds it", async () => {
  const data = take(directory);
  rmSync(join(directory, "LOCK"));
  const older = start([BUN, OLDER_HOLDER, directory]);
  await until("the older version has it", () => older.stdout() === "taken\n");
  const words = `${directory}/LOCK was removed, and an older parley has taken it`;
  expect(() => data.held.check()).toThrow(words);
  expect(() => data.held.check()).toThrow(words);
  older.kill("SIGKILL");
  await older.exited;
  data.held.check();
});

test("an older version that has the directory keeps this one out", async () => {
  mkdirSync(directory);
  const older = start([BUN, OLDER_HOLDER, directory]);
  await until("the older version has it", () => older.stdout() === "taken\n");
  expect(refusal(directory).reason).toBe("dataLocked");
  older.kill("SIGKILL");
  await older.exited;
  take(directory);
});

test("one directory under several names is locked once", () => {
  take(directory);
  const link = join(temporary.path, "link");
  symlinkSync(directory, link);
  for (const name of [link, relative(process.cwd(), directory), join(temporary.path, "x/../data")])
    expect(refusal(name).reason).toBe("dataLocked");
});

test("a moved directory can be locked under its new name when its owner has ended; its old name is free at once", () => {
  const first = take(directory);
  const moved = join(temporary.path, "moved");
  renameSync(directory, moved);
  expect(refusal(moved).reason).toBe("dataLocked");
  take(directory);
  first.release();
  take(moved);
});

test("where directories cannot be locked, as on NFS, LOCK alone counts, and its removal is noticed", () => {
  const flock: Flock = (fd, kind) =>
    fstatSync(fd).isDirectory() ? { errno: constants.errno.EBADF } : systemFlock(fd, kind);
  const data = take(directory, flock);
  expect(refusal(directory, flock).reason).toBe("dataLocked");
  data.held.check();
  rmSync(join(directory, "LOCK"));
  expect(() => data.held.check()).toThrow(`${directory}/LOCK was removed`);
});

test("where nothing can be locked the directory is refused with the reason", () => {
  const refused = refusal(directory, () => ({ errno: constants.errno.ENOLCK }));
  expect([refused.reason, refused.message]).toEqual([
    "dataUnwritable",
    `data directory ${directory} cannot be locked (ENOLCK)`,
  ]);
});
