import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemRandom } from "../../src/base/random.ts";
import { API_KEYS_FILE, ApiKeyFile, newApiKey, type ApiKeyRecord } from "../../src/home/accounts/api-keys.ts";
import { HandClock } from "./hand-clock.ts";

let dataDir = "";
let clock = new HandClock();
let problems: unknown[] = [];
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "parley-keys-"));
  clock = new HandClock();
  problems = [];
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

const open = () => new ApiKeyFile(dataDir, clock, (error) => problems.push(error));
const make = () => newApiKey("billing", clock, systemRandom);

async function put(content: ApiKeyRecord[] | string): Promise<void> {
  const path = join(dataDir, API_KEYS_FILE);
  await writeFile(`${path}.next`, typeof content === "string" ? content : JSON.stringify(content));
  await rename(`${path}.next`, path);
}

const isAccepted = (keys: ApiKeyFile, key: string) =>
  keys.authenticate(key).then(
    () => true,
    () => false,
  );

test("a key is pk_, its id and a secret of 43 characters; the record keeps only a hash of it", () => {
  const { record, key } = make();
  expect(key).toMatch(/^pk_[a-z2-7]{8}_[A-Za-z0-9_-]{43}$/);
  expect(JSON.stringify(record)).not.toContain(key.slice(12));
});

test("a known key is accepted, and says which it is", async () => {
  const { record, key } = make();
  await put([record]);
  expect(await open().authenticate(key)).toEqual({ keyId: record.id });
});

test("a wrong secret, an unknown id and what is no key are unauthorized", async () => {
  const { record, key } = make();
  await put([record]);
  const keys = open();
  const otherSecret = `pk_${record.id}_${make().key.slice(12)}`;
  for (const wrong of [otherSecret, make().key, "", "pk_", `${key}x`, key.toUpperCase(), "\0"]) {
    await expect(keys.authenticate(wrong)).rejects.toMatchObject({ code: "unauthorized" });
  }
});

test("no file means no keys", async () => {
  expect(await isAccepted(open(), make().key)).toBe(false);
  expect(problems).toEqual([]);
});

test("a key made while the server runs is accepted at once", async () => {
  const [first, second] = [make(), make()];
  await put([first.record]);
  const keys = open();
  expect(await isAccepted(keys, first.key)).toBe(true);
  await put([first.record, second.record]);
  expect(await isAccepted(keys, second.key)).toBe(true);
});

test("a revoked key is refused after a second at most", async () => {
  const { record, key } = make();
  await put([record]);
  const keys = open();
  expect(await isAccepted(keys, key)).toBe(true);
  await put([{ ...record, revokedAt: clock.now() }]);
  clock.advance(1000);
  expect(await isAccepted(keys, key)).toBe(false);
});

test("guessing keys does not turn into file reads: a few a second, then none", async () => {
  const keys = open();
  for (let i = 0; i < 20; i++) await isAccepted(keys, make().key);
  const { record, key } = make();
  await put([record]);
  expect(await isAccepted(keys, key)).toBe(false);
  clock.advance(1000);
  expect(await isAccepted(keys, key)).toBe(true);
});

test("a file that cannot be read is reported, and the keys known before stay in force", async () => {
  const { record, key } = make();
  await put([record]);
  const keys = open();
  expect(await isAccepted(keys, key)).toBe(true);
  for (const broken of ["{", "{}", '[{"id":"x"}]', '[{"id":"x","name":"n","createdAt":1,"hash":"short"}]']) {
    await put(broken);
    clock.advance(1000);
    expect(await isAccepted(keys, key)).toBe(true);
  }
  expect(problems.map(String)).toEqual([
    expect.stringContaining("api-keys.json: not JSON"),
    expect.stringContaining("api-keys.json: not a list"),
    expect.stringContaining("api-keys.json: not a list"),
    expect.stringContaining("api-keys.json: not a list"),
  ]);
});

test("a hundred calls at once, before the file was ever read, are all accepted", async () => {
  const { record, key } = make();
  await put([record]);
  const keys = open();
  const accepted = await Promise.all(Array.from({ length: 100 }, () => isAccepted(keys, key)));
  expect(accepted.filter(Boolean)).toHaveLength(100);
});
