/** `parley repair` on the data of a real server: what was whole is there afterwards, what was not is told, and the server goes on. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { join } from "node:path";
import { EXIT_STATUS } from "../../src/cli/fatal-error.ts";
import { shardOf, type Address } from "../../src/domain/address.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { TestProcess } from "../support/test-process.ts";
import { BUN, MAIN, run, temporaryDirectory } from "./processes.ts";
import { copyDirectory } from "./tools-data.ts";

const TEXTS = Array.from({ length: 40 }, (_, n) => `message ${n}`);
let place: ReturnType<typeof temporaryDirectory>;
let made: string;
let server: TestProcess;
let people: Record<string, Credentials>;

beforeAll(async () => {
  place = temporaryDirectory();
  made = join(place.path, "made");
  server = await TestProcess.start("--log-level", "error");
  const list = await server.api.users("ann", "bob", "cem", "dora");
  people = Object.fromEntries(list.map((who) => [who.user, who]));
  await server.api.group(people["cem"]!, "team", ["dora"]);
  const [ann, cem] = [await server.connect(people["ann"]!), await server.connect(people["cem"]!)];
  for (const text of TEXTS.slice(0, 20)) {
    await ann.say("@bob", text);
    await cem.say("#team", text);
  }
  await server.stop();
  await server.start();
  const again = await server.connect(people["ann"]!);
  for (const text of TEXTS.slice(20)) await again.say("@bob", text);
  await server.kill();
  copyDirectory(server.dataDirectory, made);
});
afterAll(async () => {
  await server.remove();
  place.remove();
});

const parley = (...words: string[]) => run([BUN, MAIN, ...words]);
const texts = (messages: { text?: string }[]): string[] =>
  messages.flatMap(({ text }) => (text === undefined ? [] : [text]));

/** A damaged copy, repaired. @returns what the command said, as JSON */
async function repaired(name: string, damage: (at: string) => void, ...more: string[]) {
  const damaged = join(place.path, name);
  copyDirectory(made, damaged);
  damage(damaged);
  const to = `${damaged}-whole`;
  const { status, stdout, stderr } = await parley("repair", "--data", damaged, "--to", to, "--json", ...more);
  expect([status, stderr]).toEqual([0, ""]);
  const said = JSON.parse(stdout) as { shards: { shard: number; lost: unknown[] }[]; reportAt: string; target: string };
  expect(said.target).toBe(to);
  expect(fs.readFileSync(said.reportAt, "utf8")).toContain("parley repair of");
  return { damaged, to, said };
}

async function served<T>(data: string, work: (on: TestProcess) => Promise<T>): Promise<T> {
  const verified = await parley("verify", "--data", data);
  expect([verified.status, verified.stdout]).toEqual([0, expect.any(String)]);
  // The server of the test owns a folder; this one takes its place there.
  fs.rmSync(server.dataDirectory, { recursive: true });
  copyDirectory(data, server.dataDirectory);
  await server.start();
  try {
    return await work(server);
  } finally {
    await server.stop();
  }
}

function overwrite(path: string, at: number, count = 64): void {
  const bytes = fs.readFileSync(path);
  bytes.fill(0xa5, Math.min(at, bytes.length - 1), Math.min(at + count, bytes.length));
  fs.writeFileSync(path, bytes);
}

const logs = (at: string): string[] =>
  fs
    .readdirSync(join(at, "wal"))
    .filter((name) => name.endsWith(".wal"))
    .toSorted()
    .map((name) => join(at, "wal", name));

describe("parley repair", () => {
  test("of an undamaged directory loses nothing", async () => {
    const { to, said } = await repaired("sound", () => {});
    expect(said.shards).toEqual([]);
    await served(to, async ({ api }) => {
      expect(texts(await api.history(people["bob"]!, "@ann"))).toEqual(TEXTS);
      expect(texts(await api.history(people["dora"]!, "#team"))).toEqual(TEXTS.slice(0, 20));
    });
  });

  test("of a damaged recent.db saves all other shards, says what was lost, and the server takes messages again", async () => {
    const { damaged, to, said } = await repaired("recent", (at) => {
      // What the last flush wrote is in the one or in the other.
      for (const name of ["recent.db", "recent.db-wal"]) {
        const path = join(at, "shards", name);
        if (fs.existsSync(path)) overwrite(path, fs.statSync(path).size >> 1, 3000);
      }
    });
    expect(said.shards.length).toBeGreaterThan(0);
    expect(fs.existsSync(damaged)).toBe(true);
    await served(to, async (on) => {
      const hit = new Set(said.shards.map(({ shard }) => shard));
      if (!hit.has(shardOf("@bob" as Address)))
        expect(texts(await on.api.history(people["bob"]!, "@ann"))).toEqual(TEXTS);
      const [eva, finn] = await on.api.users("eva", "finn");
      const device = await on.connect(eva!);
      await device.say("@finn", "goes on");
      expect(texts(await on.api.history(finn!, "@eva"))).toEqual(["goes on"]);
    });
  });

  test("of a log with a damaged part in the middle keeps the records after it", async () => {
    const { to } = await repaired("log", (at) => overwrite(logs(at).at(-1)!, 1200, 40));
    await served(to, async (on) => {
      // Whoever may have lost their newest records logs in anew.
      const [ann, bob] = await on.api.users("ann", "bob");
      const found = texts(await on.api.history(bob!, "@ann"));
      expect(found.length).toBeGreaterThan(20);
      expect(found).toEqual(TEXTS.filter((text) => found.includes(text)));
      const device = await on.connect(ann!);
      await device.say("@bob", "after the repair");
      expect(texts(await on.api.history(bob!, "@ann")).at(-1)).toBe("after the repair");
    });
  });

  test("in place puts the repaired directory under the old name and keeps the damaged one", async () => {
    const damaged = join(place.path, "in-place");
    copyDirectory(made, damaged);
    overwrite(logs(damaged).at(-1)!, 1200, 40);
    const { status, stdout } = await parley("repair", "--data", damaged, "--in-place");
    expect(status).toBe(0);
    expect(stdout).toContain(`the damaged directory: ${damaged}.damaged`);
    expect((await parley("verify", "--data", damaged)).status).toBe(0);
    expect(fs.existsSync(`${damaged}.damaged/id.key`)).toBe(true);
  });

  test("is refused without a path for the copy, on an existing path, without a directory, or while a server uses it", async () => {
    const taken = join(place.path, "taken");
    fs.mkdirSync(taken);
    for (const words of [
      [],
      ["--to", taken],
      ["--to", join(place.path, "x"), "--in-place"],
      ["--to", "/nowhere/at/all"],
    ])
      expect((await parley("repair", "--data", made, ...words)).status).toBe(2);
    const nothing = await parley("repair", "--data", join(place.path, "nothing"), "--to", join(place.path, "y"));
    expect(nothing.status).not.toBe(0);
    expect(nothing.stderr).toContain("there is no data directory");
    await served(made, async (on) => {
      const { status, stderr } = await parley("repair", "--data", on.dataDirectory, "--to", join(place.path, "z"));
      expect([status, stderr]).toEqual([EXIT_STATUS.dataLocked, expect.stringContaining("in use")]);
    });
  });
});
