import { mkdtempSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import { API_KEYS_FILE, newApiKey } from "../../src/home/accounts/api-keys.ts";

export type DataDirectory = { path: string; apiKey: string; remove: () => void };

/** An empty data directory with an API key in it: users made with it cost no password. */
export async function dataDirectory(): Promise<DataDirectory> {
  const path = mkdtempSync(join(tmpdir(), "parley-test-"));
  const apiKey = await addApiKey(path);
  return { path, apiKey, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** @returns a new key of this data directory, its only one */
export async function addApiKey(path: string): Promise<string> {
  const { record, key } = newApiKey("tests", systemClock, systemRandom);
  await writeFile(join(path, API_KEYS_FILE), JSON.stringify([record]));
  return key;
}
