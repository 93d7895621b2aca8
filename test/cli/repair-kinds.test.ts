/** Each kind of damaged or missing file: repaired, the directory verifies clean, and a real server serves it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { basename, join } from "node:path";
import { EXIT_STATUS } from "../../src/cli/fatal-error.ts";
import { repairCommand } from "../../src/cli/repair.ts";
import { COMPANIONS } from "../../src/cli/tool-options.ts";
import { shardOf, type Address } from "../../src/domain/address.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { listFiles } from "../../storage/tools/inventory.ts";
import type { RepairOfStore } from "../../storage/tools/repair/repair.ts";
import { verifyDirectory } from "../../storage/tools/verify.ts";
import { damageRecent } from "../support/damage.ts";
import { TestProcess } from "../support/test-process.ts";
import { BUN, MAIN, run, start, temporaryDirectory } from "./processes.ts";
import { copyDirectory } from "./tools-data.ts";

/** Tries to kill a repair at a moment that is short. */
const KILLS_MAX = 20;
const TO_TEAM = Array.from({ length: 700 }, (_, n) => `to the team ${n} ${"word ".repeat(120)}`);
let place: ReturnType<typeof temporaryDirectory>;
let server: TestProcess;
/** Stopped; and killed, with messages in the log that nothing else has. */
let clean: string;
let killed: string;

beforeAll(async () => {
  place = temporaryDirectory();
  [clean, killed] = [join(place.path, "clean"), join(place.path, "killed")];
  server = await TestProcess.start("--log-level", "error", "--send-burst", "10000", "--send-rate", "10000");
  const [ann] = await server.api.users("ann", "bob", "cem");
  await server.api.group(ann!, "team", ["bob"]);
  await post(ann!, TO_TEAM);
  await server.stop();
  copyDirectory(server.dataDirectory, clean);
  await server.start();
  for (const text of ["later 1", "later 2", "later 3"]) await post(ann!, [text]);
  await server.kill();
  copyDirectory(server.dataDirectory, killed);
});
afterAll(async () => {
  await server.remove();
  place.remove();
});

async function post(who: Credentials, texts: string[]): Promise<void> {
  const device = await server.connect(who);
  const refs = texts.map((text) => device.post("#team", text));
  for (const ref of refs) await device.answerTo(ref);
  await device.close();
}

type Said = Pick<RepairOfStore, "shards" | "left"> & {
  target: string;
  reportAt: string;
  leftOut: string[];
  keys: string[];
};

async function repair(data: string, ...words: string[]): Promise<Said> {
  let out = "";
  const io = { stdout: (text: string) => void (out += text), stderr: () => {}, env: {} };
  expect(await repairCommand().run(["--data", data, "--json", ...words], io)).toBe(0);
  return JSON.parse(out) as Said;
}

async function repairedAfter(from: string, name: string, damage: (at: string) => void, ...words: string[]) {
  const damaged = join(place.path, name.replaceAll(/\W/g, "-"));
  copyDirectory(from, damaged);
  damage(damaged);
  const before = looks(damaged);
  const to = `${damaged}-whole`;
  const said = await repair(damaged, "--to", to, ...words);
  expect(looks(damaged)).toEqual(before);
  return { to, said };
}

const looks = (at: string) => listFiles(at).map(({ path, size, mtimeNs }) => `${path} ${size} ${mtimeNs}`);

const findingsIn = async (at: string) => (await verifyDirectory(at, { companions: COMPANIONS })).findings;

/** Starts a server on it: strangers talk, and whoever is there of before reads what is there. */
async function expectServed(data: string, atLeast: number): Promise<void> {
  fs.rmSync(server.dataDirectory, { recursive: true });
  copyDirectory(data, server.dataDirectory);
  await server.start();
  try {
    const [eva, finn] = await server.api.users("eva", "finn");
    await (await server.connect(eva!)).say("@finn", "goes on");
    expect((await server.api.history(finn!, "@eva")).map(({ text }) => text)).toEqual(["goes on"]);
    if (atLeast === 0) return;
    const [bob] = await server.api.users("bob");
    const texts = (await server.api.history(bob!, "#team"))
      .map(({ text }) => text)
      .filter((text) => text !== undefined);
    expect(texts.length).toBeGreaterThanOrEqual(atLeast);
  } finally {
    await server.stop();
  }
}

const named = (at: string, pattern: RegExp): string => {
  const found = listFiles(at).find(({ path }) => pattern.test(path));
  if (found === undefined) throw new Error(`nothing is named ${pattern}`);
  return join(at, found.path);
};
const team = String(shardOf("#team" as Address)).padStart(3, "0");
const STATE = new RegExp(`^shards/${team}/state\\.db$`);
const SEGMENT = new RegExp(`^shards/${team}/segment-\\d+\\.db$`);
const RECENT = /^shards\/recent\.db$/;
const LOG = /^wal\/\d+\.wal$/;

const overwritten = (pattern: RegExp, share: number, bytes: number) => (at: string) => {
  const path = named(at, pattern);
  const content = fs.readFileSync(path);
  // A log file goes on with zeros.
  const end = LOG.test(path.slice(at.length + 1)) ? content.findLastIndex((byte) => byte !== 0) : content.length;
  const from = Math.min(end - 1, Math.floor(end * share));
  fs.writeFileSync(path, content.fill(0xa5, from, Math.min(end, from + bytes)));
};
const removed = (pattern: RegExp) => (at: string) => fs.rmSync(named(at, pattern));

describe("a real server serves what was repaired after", () => {
  test.each([
    ["a damaged state file", () => clean, overwritten(STATE, 0.3, 6000), 1],
    ["a damaged segment", () => clean, overwritten(SEGMENT, 0.3, 6000), 1],
    ["a damaged manifest", () => clean, overwritten(/^manifest$/, 0.5, 20), TO_TEAM.length],
    ["a damaged page of recent.db", () => clean, overwritten(RECENT, 0.6, 3000), 0],
    ["a recent.db that is no database", () => clean, overwritten(RECENT, 0, 8192), 0],
    ["a state file that is missing", () => clean, removed(STATE), 0],
    ["a segment that is missing", () => clean, removed(SEGMENT), 0],
    ["a manifest that is missing", () => clean, removed(/^manifest$/), TO_TEAM.length],
    ["a recent.db that is missing", () => clean, removed(RECENT), 0],
    ["a log that is missing", () => killed, (at: string) => fs.rmSync(join(at, "wal"), { recursive: true }), 0],
    ["a damaged middle of the log", () => killed, overwritten(LOG, 0.7, 40), TO_TEAM.length],
    ["a damaged end of the log", () => killed, overwritten(LOG, 0.99, 40), TO_TEAM.length],
    ["an id.key that is missing", () => clean, removed(/^id\.key$/), TO_TEAM.length],
  ] as [string, () => string, (at: string) => void, number][])("%s", async (name, from, damage, atLeast) => {
    const { to } = await repairedAfter(from(), name, damage);
    expect(await findingsIn(to)).toEqual([]);
    await expectServed(to, atLeast);
  });
});

test.each([
  ["is no database", overwritten(RECENT, 0, 8192)],
  ["is missing", removed(RECENT)],
])(
  "a server whose recent.db %s does not start, changes nothing, and names the file and the repair",
  async (how, damage) => {
    const data = join(place.path, `refused-${how.replaceAll(" ", "-")}`);
    copyDirectory(clean, data);
    damage(data);
    const before = fs.existsSync(join(data, "shards/recent.db"))
      ? fs.readFileSync(join(data, "shards/recent.db"))
      : "none";
    const { status, stderr } = await run([BUN, MAIN, "serve", "--data", data, "--port", "0"]);
    expect([status, stderr]).toEqual([EXIT_STATUS.corrupt, expect.stringContaining(`${data}/shards/recent.db`)]);
    expect(stderr).toContain('run "parley repair"');
    const after = fs.existsSync(join(data, "shards/recent.db"))
      ? fs.readFileSync(join(data, "shards/recent.db"))
      : "none";
    expect(after).toEqual(before);
  },
);

test("a repair to another place that was killed is begun anew", async () => {
  const to = join(place.path, "anew");
  const words = [BUN, MAIN, "repair", "--data", clean, "--to", to];
  let status = 0;
  for (let kills = 0; status === 0 && kills < KILLS_MAX; kills++) {
    fs.rmSync(to, { recursive: true, force: true });
    const first = start(words);
    while (!fs.existsSync(`${to}.unfinished/id.key`) && !fs.existsSync(to));
    first.kill("SIGKILL");
    status = await first.exited;
  }
  expect([status === 0, fs.existsSync(to)]).toEqual([false, false]);
  expect((await run(words)).status).toBe(0);
  expect(await findingsIn(to)).toEqual([]);
  expect(fs.existsSync(`${to}.unfinished`)).toBe(false);
});

test("files that are not the server's are left out and named, and the source stays as it was", async () => {
  const { to, said } = await repairedAfter(clean, "strange", (at) => fs.writeFileSync(join(at, "notes.txt"), "mine"));
  expect(said.leftOut).toEqual(["notes.txt"]);
  expect(fs.readFileSync(said.reportAt, "utf8")).toContain("notes.txt is not a file of the server: it was not copied");
  expect(fs.existsSync(join(to, "notes.txt"))).toBe(false);
  expect(await findingsIn(to)).toEqual([]);
});

test("a key that is missing or changed is told, since no checksum of the store covers it", async () => {
  const gone = await repairedAfter(clean, "key gone", (at) => fs.rmSync(join(at, "token.key")));
  expect(gone.said.keys).toEqual([expect.stringContaining("token.key is missing")]);
  const changed = await repairedAfter(clean, "key changed", (at) => overwritten(/^id\.key$/, 0, 1)(at));
  expect(changed.said.keys).toEqual([expect.stringContaining("id.key has changed")]);
});

test("--shard repairs one shard, leaves another that is damaged closed, and the server serves the first", async () => {
  const [ann, cem] = ["@ann", "@cem"].map((address) => shardOf(address as Address));
  const damage = (at: string): void => {
    for (const address of ["@ann", "@cem"]) damageRecent(at, address, "page");
  };
  const { to, said } = await repairedAfter(clean, "one shard", damage, "--shard", String(ann));
  expect(said.shards.map(({ shard }) => shard as number)).toEqual([ann!]);
  expect(said.left.map(({ shard }) => shard as number)).toEqual([cem!]);
  expect((await findingsIn(to)).every(({ file }) => file === "damaged/shards" || file.includes("recent.db"))).toBe(
    true,
  );
  fs.rmSync(server.dataDirectory, { recursive: true });
  copyDirectory(to, server.dataDirectory);
  await server.start();
  const { status } = await server.api.call("POST", "/v1/login", undefined, { user: "cem", password: "a wrong one" });
  expect(status).toBe(503);
  const [eva] = await server.api.users("eva");
  expect(eva!.user).toBe("eva");
  await server.stop();
});

/** All is copied, and what the damaged shard had is not there any more. */
function isTakenAway(data: string): boolean {
  const copy = `${data}.repair-unfinished`;
  return fs.existsSync(`${copy}/wal/openings`) && !fs.existsSync(`${copy}/shards/${team}/segment-000001.db`);
}

/** Damages a segment and kills a repair at that moment. @returns the damaged segment */
async function killedWhen(isNow: (data: string) => boolean, data: string): Promise<Buffer> {
  for (let kills = 0; kills < KILLS_MAX; kills++) {
    for (const name of fs.readdirSync(place.path))
      if (name.startsWith(basename(data))) fs.rmSync(join(place.path, name), { recursive: true });
    copyDirectory(clean, data);
    overwritten(SEGMENT, 0.3, 6000)(data);
    const segment = fs.readFileSync(named(data, SEGMENT));
    const repairing = start([BUN, MAIN, "repair", "--data", data, "--in-place"]);
    // The moment is short: whoever sleeps between two looks misses it, and a busy machine can miss it all the same.
    while (!isNow(data) && !fs.existsSync(`${data}.damaged`));
    repairing.kill("SIGKILL");
    if ((await repairing.exited) !== 0) return segment;
  }
  throw new Error(`no repair of ${KILLS_MAX} was met at that moment`);
}

describe("in place", () => {
  test("an undamaged directory is not changed, and the output says so", async () => {
    const data = join(place.path, "sound");
    copyDirectory(clean, data);
    const before = [fs.statSync(data).ino, ...looks(data)];
    const { status, stdout } = await run([BUN, MAIN, "repair", "--data", data, "--in-place"]);
    expect([status, stdout]).toEqual([0, `no shard was damaged\n${data} was left as it is\n`]);
    expect([fs.statSync(data).ino, ...looks(data)]).toEqual(before);
    expect(fs.readdirSync(place.path).filter((name) => name.startsWith("sound"))).toEqual(["sound"]);
  });

  const unfinished = (data: string, name: string): string => `${data}.repair-unfinished/${name}`;
  test.each([
    ["while it copies", (data: string) => fs.existsSync(unfinished(data, "id.key"))],
    ["while a shard is rebuilt", isTakenAway],
    ["when the copy is whole", (data: string) => fs.existsSync(unfinished(data, "manifest"))],
    ["while names change", (data: string) => fs.existsSync(`${data}.repair-swap`)],
  ])("killed %s, the next run makes it whole, and what was there is kept", async (when, isNow) => {
    const folder = when.replaceAll(" ", "-");
    const data = join(place.path, folder);
    const segment = await killedWhen(isNow, data);
    const words = [BUN, MAIN, "repair", "--data", data, "--in-place"];
    expect((await run(words)).status).toBe(0);
    expect(await findingsIn(data)).toEqual([]);
    expect(fs.readFileSync(named(`${data}.damaged`, SEGMENT)).equals(segment)).toBe(true);
    const left = fs.readdirSync(place.path).filter((name) => name.startsWith(folder));
    expect(left.filter((name) => !/(\.damaged|\.repair-report(-2)?\.txt)$/.test(name))).toEqual([folder]);
  });
});
