/** What is done to the data directory of a node that works, and what the node does then. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { leaveAtRest, lockDataDirectory, type DataDirectory } from "../../src/cli/data-directory.ts";
import { parseOptions } from "../../src/cli/options.ts";
import type { RunningNode } from "../../src/cli/serve.ts";
import { SERVE_OPTIONS } from "../../src/cli/serve-options.ts";
import { startNode } from "../../src/node/node.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { REFUSALS } from "../../src/home/refusals.ts";
import { COMPANIONS } from "../../src/cli/tool-options.ts";
import { verifyDirectory } from "../../storage/tools/verify.ts";
import { listFiles } from "../../storage/tools/inventory.ts";
import { Api } from "../support/api.ts";
import { dataDirectory } from "../support/data-directory.ts";
import { until } from "../support/wait.ts";

const { words } = REFUSALS["directory lost"];
const OPTIONS = ["--port", "0", "--argon2-memory-kb", "8", "--argon2-passes", "1", "--log-level", "error"];

let root: string;
let path: string;
let apiKey: string;
let running: { node: RunningNode; data: DataDirectory; api: Api } | undefined;
let alice: Credentials;
let texts: string[];

beforeEach(async () => {
  const made = await dataDirectory();
  ({ apiKey } = made);
  root = fs.mkdtempSync(join(tmpdir(), "lost-"));
  path = join(root, "parent/data");
  fs.mkdirSync(join(root, "parent"));
  fs.renameSync(made.path, path);
  texts = [];
  await start();
  [alice] = (await running!.api.users("alice", "bob")) as [Credentials];
  for (let n = 0; n < 20; n++) await say(`before ${n}`);
});

afterEach(async () => {
  if (running !== undefined) await stop();
  fs.rmSync(root, { recursive: true, force: true });
});

async function start(name = path): Promise<void> {
  const data = lockDataDirectory(name);
  const parts = { held: data.held, checkDirectoryMs: 10, walFileBytes: 8 << 10 };
  const node = await startNode({ ...parseOptions(SERVE_OPTIONS, OPTIONS, {}), data: data.held.at }, parts);
  running = { node, data, api: new Api(node.url, apiKey) };
}

async function stop(): Promise<void> {
  const { node, data } = running!;
  running = undefined;
  await node.drain();
  await leaveAtRest(data, () => {});
  data.release();
}

async function restart(name = path): Promise<void> {
  await stop();
  await start(name);
}

/** @returns the answer; what was acked is noted */
async function say(text: string) {
  const answer = await running!.api.post("/v1/messages", alice.token, { to: "@bob", text, ref: text });
  if (answer.status === 201) texts.push(text);
  return answer;
}

const isReady = async (): Promise<boolean> => (await running!.api.call("GET", "/readyz")).status === 200;

async function expectRefused(): Promise<void> {
  await until("it is not ready any more", async () => !(await isReady()));
  const ready = await running!.api.call("GET", "/readyz");
  expect(JSON.stringify(ready.body)).toContain(words);
  const { status, body } = await say("refused");
  expect([status, body.code, body.detail]).toEqual([503, "unavailable", expect.stringContaining(words)]);
  await expectAcked();
}

async function expectAcked(): Promise<void> {
  expect((await running!.api.history(alice, "@bob")).map(({ text }) => text)).toEqual(texts);
}

const elsewhere = (): string => join(root, "elsewhere");

/** The same files, another directory. */
function replace(directory: string): void {
  fs.renameSync(directory, elsewhere());
  fs.cpSync(elsewhere(), directory, { recursive: true });
}

function empty(directory: string): void {
  for (const name of fs.readdirSync(directory)) fs.rmSync(join(directory, name));
}

function remake(directory: string): void {
  fs.rmSync(directory, { recursive: true });
  fs.mkdirSync(directory);
}

describe("work is refused in true words, and what was acked is read,", () => {
  test.each<[string, () => void]>([
    ["when the directory is moved away", () => fs.renameSync(path, elsewhere())],
    ["when a directory above it is moved", () => fs.renameSync(join(root, "parent"), elsewhere())],
    ["when a copy takes its place", () => replace(path)],
    ["when wal/ is moved away", () => fs.renameSync(join(path, "wal"), elsewhere())],
    ["when a copy takes the place of wal/", () => replace(join(path, "wal"))],
    ["when a copy takes the place of shards/", () => replace(join(path, "shards"))],
    ["when the directory is removed", () => fs.rmSync(path, { recursive: true })],
    ["when wal/ is removed", () => fs.rmSync(join(path, "wal"), { recursive: true })],
    ["when the files in wal/ are removed", () => empty(join(path, "wal"))],
    ["when shards/ is removed", () => fs.rmSync(join(path, "shards"), { recursive: true })],
    ["when it is removed and another is made", () => remake(path)],
  ])("%s", async (_, happens) => {
    happens();
    await expectRefused();
  });
});

test("a directory that is back where it was is worked in again, and all acked is there", async () => {
  fs.renameSync(path, elsewhere());
  await expectRefused();
  fs.renameSync(elsewhere(), path);
  await until("it is ready again", isReady);
  expect((await say("after")).status).toBe(201);
  await expectAcked();
  await restart();
  await expectAcked();
});

test("a link is one name of its directory: work goes on while it means the same, and is refused when it means another", async () => {
  const link = join(root, "link");
  fs.symlinkSync(path, link);
  await restart(link);
  expect((await say("by the link")).status).toBe(201);
  // What the link means is moved, and the link with it.
  fs.renameSync(path, elsewhere());
  fs.rmSync(link);
  fs.symlinkSync(elsewhere(), link);
  running!.data.held.check();
  fs.mkdirSync(path);
  fs.rmSync(link);
  fs.symlinkSync(path, link);
  await expectRefused();
  expect(fs.readdirSync(path)).toEqual([]);
});

test("a relative name is the directory that it meant when the server was started", async () => {
  await restart(relative(process.cwd(), path));
  expect((await say("by the relative name")).status).toBe(201);
  fs.renameSync(join(root, "parent"), elsewhere());
  await expectRefused();
});

test.each([
  ["nothing was flushed yet", false],
  ["all was flushed", true],
])("wal/ that is gone is told at the next start, when %s, and nothing is served in its place", async (_, isFlushed) => {
  if (isFlushed) await restart();
  const copy = join(root, "copy");
  fs.cpSync(path, copy, { recursive: true });
  fs.rmSync(join(copy, "wal"), { recursive: true });
  await stop();
  await expect(start(copy)).rejects.toThrow("the log is missing, recent.db is there");
  const { findings } = await verifyDirectory(copy, { companions: COMPANIONS });
  expect(findings.map(({ file, what }) => `${file}: ${what}`)).toContain("wal: the log is missing, recent.db is there");
});

test("a directory that replaces the server's own gets no file, neither from a message nor from a flush or a stop", async () => {
  const other = join(root, "other");
  await stop();
  fs.cpSync(path, other, { recursive: true });
  await start();
  const before = listFiles(other);
  let n = 0;
  for (const { acked } of [{ acked: 50 }, { acked: 200 }])
    while (n < acked) await say(`more ${"and more ".repeat(20)} ${n++}`);
  fs.renameSync(path, elsewhere());
  fs.renameSync(other, path);
  // Many log files' worth, as fast as it goes: until the node notices it still writes to its own file, and begins no other.
  await Promise.all(Array.from({ length: 200 }, () => say(`late ${"and later ".repeat(20)} ${n++}`)));
  await until("it is not ready any more", async () => !(await isReady()));
  await stop();
  expect(listFiles(path)).toEqual(before);
  await start(elsewhere());
  const found = (await running!.api.history(alice, "@bob")).map(({ text }) => text);
  expect(found.toSorted()).toEqual(texts.toSorted());
});

test("a mount over the directory is another directory", async () => {
  const mounted = Bun.which("mount") !== null && Bun.spawnSync(["mount", "-t", "tmpfs", "tmpfs", path]).success;
  // Where nobody may mount, a directory made in its place is the nearest.
  if (!mounted) replace(path);
  try {
    await expectRefused();
    if (mounted) expect(fs.readdirSync(path)).toEqual([]);
  } finally {
    if (mounted) Bun.spawnSync(["umount", path]);
  }
});

test("a copy of a directory that is in use is a directory of its own: both are worked in", async () => {
  const copy = join(root, "copy");
  fs.cpSync(path, copy, { recursive: true });
  expect((await say("after the copy")).status).toBe(201);
  const other = lockDataDirectory(copy);
  other.release();
  expect(await isReady()).toBe(true);
  await restart();
  await expectAcked();
});
