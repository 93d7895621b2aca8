import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { runKeys } from "../../src/cli/keys.ts";
import { ApiKeyFile } from "../../src/home/accounts/api-keys.ts";

let dataDir = "";
beforeEach(async () => {
  dataDir = join(await mkdtemp(join(tmpdir(), "parley-cli-keys-")), "data");
});
afterEach(() => rm(join(dataDir, ".."), { recursive: true, force: true }));

async function run(args: string[], env: Record<string, string> = { PARLEY_DATA: dataDir }, lockWaitMs = 4000) {
  const out = { stdout: "", stderr: "" };
  const io = {
    stdout: (text: string) => void (out.stdout += text),
    stderr: (text: string) => void (out.stderr += text),
    env,
  };
  return { status: await runKeys(args, io, lockWaitMs), ...out };
}

const accepts = (key: string) =>
  new ApiKeyFile(dataDir, systemClock, () => undefined).authenticate(key).then(
    () => true,
    () => false,
  );

test("create prints a key that a server accepts, and nothing else on stdout", async () => {
  const { status, stdout, stderr } = await run(["create", "--name", "billing"]);
  expect([status, stdout]).toEqual([0, expect.stringMatching(/^pk_[a-z2-7]{8}_[\w-]{43}\n$/)]);
  expect(stderr).toContain("cannot be shown again");
  expect(await accepts(stdout.trim())).toBe(true);
});

test("the file is readable by its owner alone, holds no secret, and nothing is left beside it", async () => {
  const { stdout } = await run(["create", "--name", "billing"]);
  const path = join(dataDir, "api-keys.json");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readFile(path, "utf8")).not.toContain(stdout.trim().slice(12));
  expect(await readdir(dataDir)).toEqual(["api-keys.json"]);
});

test("list shows every key with its state, as a table and as JSON", async () => {
  await mkdir(dataDir);
  expect((await run(["list"])).stdout).toContain("No keys");
  const { id } = JSON.parse((await run(["create", "--name", "billing", "--json"])).stdout);
  await run(["create", "--name", "数据"]);
  await run(["revoke", id]);
  const lines = (await run(["list"])).stdout.trimEnd().split("\n");
  expect(lines[0]).toMatch(/^ID +NAME +MADE +STATE$/);
  expect(lines[1]).toMatch(new RegExp(`^${id}  billing  \\S+Z  revoked \\S+Z$`));
  expect(lines[2]).toMatch(/^\w{8} {2}数据 {5}\S+Z {2}active$/);
  const listed = JSON.parse((await run(["list", "--json"])).stdout);
  const times = { createdAt: expect.any(Number), revokedAt: expect.any(Number) };
  expect(listed[0]).toEqual({ id, name: "billing", state: "revoked", ...times });
  expect(listed[1]).toMatchObject({ name: "数据", state: "active" });
});

test("revoke ends a key, says so, and keeps the time of the first revocation", async () => {
  const { id, key } = JSON.parse((await run(["create", "--name", "billing", "--json"])).stdout);
  expect(await run(["revoke", id])).toMatchObject({ status: 0, stdout: `Key ${id} is revoked.\n` });
  expect(await accepts(key)).toBe(false);
  const before = await readFile(join(dataDir, "api-keys.json"), "utf8");
  expect((await run(["revoke", id])).status).toBe(0);
  expect(await readFile(join(dataDir, "api-keys.json"), "utf8")).toBe(before);
});

test("commands at once lose nothing", async () => {
  const results = await Promise.all(Array.from({ length: 4 }, (_, i) => run(["create", "--name", `key ${i}`])));
  expect(results.map(({ status }) => status)).toEqual([0, 0, 0, 0]);
  expect(JSON.parse((await run(["list", "--json"])).stdout)).toHaveLength(4);
});

test("a lock that a crash left is named, and nothing is changed", async () => {
  await run(["create", "--name", "billing"]);
  const lock = join(dataDir, "api-keys.json.lock");
  await writeFile(lock, "");
  expect(await run(["create", "--name", "other"], { PARLEY_DATA: dataDir }, 50)).toMatchObject({
    status: 1,
    stdout: "",
    stderr: expect.stringContaining(lock),
  });
  expect(JSON.parse((await run(["list", "--json"])).stdout)).toHaveLength(1);
});

test("a damaged file is refused with its name, not overwritten", async () => {
  await run(["create", "--name", "billing"]);
  const path = join(dataDir, "api-keys.json");
  await writeFile(path, "{");
  expect(await run(["create", "--name", "other"])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("api-keys.json"),
  });
  expect(await readFile(path, "utf8")).toBe("{");
});

test("--data goes before PARLEY_DATA", async () => {
  await run(["create", "--name", "billing", "--data", dataDir], { PARLEY_DATA: "/nowhere/at/all" });
  expect(await readdir(dataDir)).toEqual(["api-keys.json"]);
});

test.each([
  [[], "the command is missing"],
  [["destroy"], "unknown command destroy"],
  [["create"], "--name"],
  [["create", "--name", ""], "--name"],
  [["create", "--name", "x".repeat(65)], "65 characters, at most 64"],
  [["create", "--name", "a\nb"], "control characters"],
  [["create", "extra", "--name", "x"], "too many words"],
  [["revoke"], "revoke needs the ID"],
  [["list", "--colour"], "--colour"],
  [["list", "--name", "x"], "--name belongs to create"],
  [["creat"], "did you mean create?"],
])("%j is one clear line and status 2", async (args, line) => {
  const { status, stdout, stderr } = await run(args);
  expect([status, stdout, stderr.split("\n").length]).toEqual([2, "", 2]);
  expect(stderr).toContain(line);
});

test("a data directory that is not there is made by create, which says so, and refused by list and revoke", async () => {
  const refused = { status: 11, stdout: "", stderr: expect.stringContaining(`there is no data directory ${dataDir}`) };
  expect(await run(["list"])).toMatchObject(refused);
  expect(await run(["revoke", "abcdefgh"])).toMatchObject(refused);
  expect((await run(["create", "--name", "billing"])).stderr).toContain(`made the data directory ${dataDir}\n`);
  expect((await run(["create", "--name", "other"])).stderr).not.toContain("made the data directory");
  expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
});

test("a data directory that cannot be made is one line and status 11", async () => {
  const { status, stdout, stderr } = await run(["create", "--name", "billing", "--data", "/proc/parley"]);
  expect([status, stdout, stderr.split("\n").length]).toEqual([11, "", 2]);
  expect(stderr).toContain("data directory /proc/parley cannot be written");
});

test("revoking a key that is not there is status 1", async () => {
  await mkdir(dataDir);
  expect(await run(["revoke", "abcdefgh"])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("no key has the ID abcdefgh"),
  });
});

test("--help shows the whole help, whatever the other arguments", async () => {
  const { status, stdout } = await run(["--help"]);
  expect(status).toBe(0);
  for (const word of ["create", "list", "revoke", "--name", "--data", "--json", "PARLEY_DATA"])
    expect(stdout).toContain(word);
});
