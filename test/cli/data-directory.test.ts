import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { lockDataDirectory } from "../../src/cli/data-directory.ts";
import { EXIT_STATUS, FatalError, type ExitReason } from "../../src/cli/fatal-error.ts";
import { BUN, run, start, temporaryDirectory, until } from "./processes.ts";

const HOLDER = join(import.meta.dir, "programs/hold-data-directory.ts");

let temporary: ReturnType<typeof temporaryDirectory>;
beforeEach(() => void (temporary = temporaryDirectory()));
afterEach(() => temporary.remove());

function refusal(path: string): [ExitReason, string] {
  try {
    lockDataDirectory(path);
  } catch (error) {
    if (error instanceof FatalError) return [error.reason, error.message];
    throw error;
  }
  throw new Error(`${path} was taken`);
}

test("a missing directory is made, for its owner alone", () => {
  const path = join(temporary.path, "a/b");
  const data = lockDataDirectory(path);
  expect(data.path).toBe(path);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(statSync(join(path, "LOCK")).mode & 0o777).toBe(0o600);
  data.release();
});

test("a directory that is held is refused, and free again once released", () => {
  const data = lockDataDirectory(temporary.path);
  expect(refusal(temporary.path)).toEqual([
    "dataLocked",
    `data directory ${temporary.path} is in use by process ${process.pid}`,
  ]);
  data.release();
  lockDataDirectory(temporary.path).release();
});

test("two processes cannot hold one directory, and kill -9 of the holder frees it", async () => {
  const first = start([BUN, HOLDER, temporary.path]);
  await until("the first process holds it", () => first.stdout() === "taken\n");
  expect(readFileSync(join(temporary.path, "LOCK"), "utf8")).toBe(`${first.pid}\n`);

  const second = await run([BUN, HOLDER, temporary.path]);
  expect(second.status).toBe(EXIT_STATUS.dataLocked);
  expect(second.stdout).toContain(`is in use by process ${first.pid}`);

  first.kill("SIGKILL");
  await first.exited;
  const data = lockDataDirectory(temporary.path);
  expect(readFileSync(join(temporary.path, "LOCK"), "utf8")).toBe(`${process.pid}\n`);
  data.release();
});

test("a process that the holder starts does not keep the lock when the holder dies", async () => {
  const holder = `
    import { lockDataDirectory } from ${JSON.stringify(join(import.meta.dir, "../../src/cli/data-directory.ts"))};
    lockDataDirectory(${JSON.stringify(temporary.path)});
    const heir = Bun.spawn(["sleep", "60"], { stdio: ["ignore", "ignore", "ignore"] });
    console.log(heir.pid);
    setInterval(() => {}, 60_000);
  `;
  const first = start([BUN, "-e", holder]);
  await until("its heir runs", () => first.stdout() !== "");
  first.kill("SIGKILL");
  await first.exited;
  try {
    lockDataDirectory(temporary.path).release();
  } finally {
    process.kill(Number(first.stdout()), "SIGKILL");
  }
});

// These tests may run as root, to whom no mode forbids anything; so the paths are such as nobody can write.
test("a path that cannot be made or is no directory is refused", () => {
  const file = join(temporary.path, "file");
  writeFileSync(file, "");
  const long = join(temporary.path, "x".repeat(300));
  expect(refusal(file)).toEqual([
    "dataUnwritable",
    `data directory ${file} cannot be written: there is a file of that name`,
  ]);
  expect(refusal(join(file, "in"))[0]).toBe("dataUnwritable");
  expect(refusal(long)).toEqual(["dataUnwritable", `data directory ${long} cannot be written: the name is too long`]);
});

test("a LOCK that is a directory is refused", () => {
  mkdirSync(join(temporary.path, "LOCK"));
  expect(refusal(temporary.path)[0]).toBe("dataUnwritable");
});
