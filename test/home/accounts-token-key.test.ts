import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemRandom } from "../../src/base/random.ts";
import { loadOrCreateTokenKey } from "../../src/home/accounts/tokens.ts";

let dataDir = "";
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "parley-key-"));
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

test("the key is made at first start, readable by its owner alone, and the same ever after", async () => {
  const key = await loadOrCreateTokenKey(dataDir, systemRandom);
  expect(key.length).toBe(32);
  expect((await stat(join(dataDir, "token.key"))).mode & 0o777).toBe(0o600);
  expect(await loadOrCreateTokenKey(dataDir, systemRandom)).toEqual(key);
  expect(await readdir(dataDir)).toEqual(["token.key"]);
});

test("what a crash left of making the key is not taken for it, nor are its permissions", async () => {
  await writeFile(join(dataDir, "token.key.new"), "half", { mode: 0o644 });
  expect((await loadOrCreateTokenKey(dataDir, systemRandom)).length).toBe(32);
  expect((await stat(join(dataDir, "token.key"))).mode & 0o777).toBe(0o600);
});

test("a key file of another length is refused, not replaced", async () => {
  await writeFile(join(dataDir, "token.key"), "short");
  await expect(loadOrCreateTokenKey(dataDir, systemRandom)).rejects.toThrow("5 bytes, expected 32");
});
