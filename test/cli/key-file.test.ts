import { afterAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BUN, run, temporaryDirectory } from "./processes.ts";

const MAIN = join(import.meta.dir, "../../src/main.ts");
const place = temporaryDirectory();
afterAll(() => place.remove());

test.each([
  ["serve", ["serve", "--port", "0"]],
  ["reset-password", ["reset-password", "--user", "ann"]],
])("a key of another size is refused in one line, and not replaced: %s", async (name, words) => {
  const data = join(place.path, name);
  mkdirSync(data);
  writeFileSync(join(data, "id.key"), "short");
  const { status, stderr } = await run([BUN, MAIN, ...words, "--data", data]);
  expect(stderr.trimEnd().split("\n")).toEqual([expect.stringMatching(/id\.key: 5 bytes, expected 16; restore it/)]);
  expect(status).toBe(15);
  expect(await Bun.file(join(data, "id.key")).text()).toBe("short");
});
