import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runImport, summaryOf } from "../../scripts/irc/import.ts";
import type { ProgressOutput } from "../../src/cli/progress-bar.ts";
import { parseOptions, type RunOptions } from "../../scripts/irc/options.ts";
import { parseDay } from "../../scripts/irc/parse.ts";
import { planImport, type Plan } from "../../scripts/irc/plan.ts";
import type { EntryFrame } from "../../src/protocol/frames.ts";
import { API_KEY, ScriptedServer, type Lies } from "./scripted-server.ts";

const DAY_ONE = `[23:50] <Ann> hello, anybody?
[23:51] <bob> Ann: yes
[23:51] <Ann> bob: good – ünïcödé ✓ "quotes" \\ and a tab\t.
[23:52] <cid> what is the log?
[23:59] <bob> cid: the database
[00:01] <bob> bob: note to myself
[00:02] <cid> bob: ah
[00:02] <cid> ah
`;
const DAY_TWO = `[10:00] <cid> morning
[10:01] <Ann> cid: morning
[10:01] <ann> I am another ann
[10:02] <cid> ann: so I see
[10:02] <cid> Ann: is that you?
`;
const PLAN = planImport([parseDay("2005-02-06", DAY_ONE), parseDay("2005-02-07", DAY_TWO)]);
const QUIET = { isTerminal: false, columns: 80, write: () => {} };
const ZEROS = { lost: 0, duplicated: 0, misordered: 0 };

const servers: ScriptedServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.end();
});

function scripted(lies: Lies = {}): ScriptedServer {
  const server = new ScriptedServer();
  server.lies = lies;
  servers.push(server);
  return server;
}

function run(url: string, options: Partial<RunOptions> = {}, plan: Plan = PLAN, output: ProgressOutput = QUIET) {
  const all: RunOptions = {
    ...{
      url,
      apiKey: API_KEY,
      speed: "max",
      verify: true,
      verifyMembers: 2,
      window: 64,
      giveUpAfterMs: 10_000,
      settleMs: 300,
    },
    ...options,
  };
  return runImport(plan, all, output);
}

test("every line is played once, to the group or to the person it names, and found again from all sides", async () => {
  const server = scripted();
  const result = await run(server.url);
  expect(result).toMatchObject({
    users: 4,
    groups: 2,
    direct: 8,
    group: 5,
    deliveries: 17,
    deliveriesExpected: 17,
    ...ZEROS,
    verified: true,
  });
  expect(result).toMatchObject({ resumedDevices: 4, resumedMessages: 3 * 3 + 2 * 3 + 7 * 2 + 1 });
  const texts = server.groups
    .get("ubuntu-2005-02-06")
    ?.log.flatMap((entry) => (entry.t === "message" ? [entry.text] : []));
  expect(texts).toEqual(["hello, anybody?", "what is the log?", "ah"]);
});

test("without an API key the people register, and a second run plays nothing twice", async () => {
  const server = scripted();
  const first = await run(server.url, { apiKey: undefined });
  const second = await run(server.url, { apiKey: undefined });
  expect(first).toMatchObject(ZEROS);
  expect(second).toMatchObject({ ...ZEROS, deliveries: 17 });
  const stored = [...server.groups.values()].flatMap((group) => group.log.filter((entry) => entry.t === "message"));
  expect(stored.length).toBe(5);
});

test("a run goes on where one that broke off had stopped, also in a group that lacked members", async () => {
  const server = scripted();
  const half = planImport([parseDay("2005-02-06", DAY_ONE.split("\n").slice(0, 3).join("\n"))]);
  await run(server.url, {}, half);
  expect(server.groups.get("ubuntu-2005-02-06")?.members.size).toBe(2);
  expect(await run(server.url)).toMatchObject({ ...ZEROS, group: 5 });
  expect(server.groups.get("ubuntu-2005-02-06")?.members.size).toBe(3);
});

test("other days that the same users had before do no harm", async () => {
  const server = scripted();
  await run(server.url, {}, planImport([parseDay("2005-02-07", DAY_TWO)]));
  expect(await run(server.url, {}, planImport([parseDay("2005-02-06", DAY_ONE)]))).toMatchObject({
    ...ZEROS,
    direct: 5,
    group: 3,
  });
});

const isText = (text: string) => (entry: { text?: string }) => entry.text === text;

test("a message missing in one person's history is found", async () => {
  const server = scripted({
    history: (messages, reader) => (reader === "cid" ? messages.filter((one) => !isText("ah")(one)) : messages),
  });
  const result = await run(server.url, { verifyMembers: Number.POSITIVE_INFINITY });
  expect(result.checks.history).toEqual({ ...ZEROS, lost: 1 });
});

test("a message that history shows twice is found", async () => {
  const server = scripted({
    history: (messages) =>
      messages.flatMap((one) => (isText("morning")(one) ? [one, { ...one, id: "again", seq: one.seq + 0.5 }] : [one])),
  });
  const result = await run(server.url);
  expect(result.checks.history?.duplicated).toBeGreaterThan(0);
  expect(result.lost + result.misordered).toBe(0);
});

test("a changed text and a changed order are found", async () => {
  const changed = await run(
    scripted({
      history: (messages) => messages.map((one) => (isText("morning")(one) ? { ...one, text: "evening" } : one)),
    }).url,
  );
  expect(changed.checks.history?.lost).toBeGreaterThan(0);
  const seqs = (list: { seq: number }[]) => list.map((one) => one.seq);
  const swapped = await run(
    scripted({
      history: (messages) => messages.toReversed().map((one, at) => ({ ...one, seq: seqs(messages)[at] as number })),
    }).url,
  );
  expect(swapped.checks.history?.misordered).toBeGreaterThan(0);
});

/** The last message of bob's timeline: nothing that comes later can tell his device that it misses one. */
const LAST = planImport([
  parseDay("2005-02-06", "[01:00] <bob> hi\n[01:00] <cid> bob: one\n[01:01] <cid> bob: three\n"),
]);
const isLast = (entry: EntryFrame) => entry.t === "message" && entry.text === "bob: three";

test("a fresh device that is not handed everything is found", async () => {
  const server = scripted({
    resume: (entries, user) => (user === "bob" ? entries.filter((entry) => !isLast(entry)) : entries),
  });
  const result = await run(server.url, {}, LAST);
  expect(result.checks).toEqual({ live: ZEROS, history: ZEROS, resume: { ...ZEROS, lost: 1 } });
  expect(result).toMatchObject({ ...ZEROS, lost: 1 });
});

test("a message that an online device never gets is lost, though history has it", async () => {
  const server = scripted({ live: (entry) => (isLast(entry) ? [] : [entry]) });
  const result = await run(server.url, {}, LAST);
  expect(result.checks).toEqual({ live: { ...ZEROS, lost: 1 }, history: ZEROS, resume: ZEROS });
  expect(result).toMatchObject({ ...ZEROS, lost: 1, deliveries: 2, deliveriesExpected: 3 });
});

test("an unreachable server is given up, and the error says so", async () => {
  const server = scripted();
  const { url } = server;
  await server.end();
  await expect(run(url, { giveUpAfterMs: 400 })).rejects.toThrow("given up: nothing moved for");
});

test("waiting for an unreachable server is reported once", async () => {
  const server = scripted();
  const { url } = server;
  await server.end();
  let said = "";
  const output = { ...QUIET, write: (text: string) => void (said += text) };
  await expect(run(url, { giveUpAfterMs: 3000 }, PLAN, output)).rejects.toThrow("given up");
  expect(said).toBe(`cannot reach ${url}, still trying\n`);
});

test("the phases are told in plain words, one line each, and the end in one for people", async () => {
  const server = scripted();
  let said = "";
  const result = await run(server.url, {}, PLAN, { ...QUIET, write: (text: string) => void (said += text) });
  const names = said
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {2,}/)[0]);
  expect(names).toEqual(["users", "groups", "sockets", "messages", "delivery", "check: history", "check: devices"]);
  const facts = "4 users, 13 messages, 0 lost, 0 duplicated, 0 misordered, 25 s";
  expect(summaryOf({ ...result, seconds: 25.4 })).toBe(`verified: ${facts}`);
  expect(summaryOf({ ...result, seconds: 25.4, direct: 2662, verified: false })).toBe(
    `played, not verified: ${facts.replace("13", "2,667")}`,
  );
});

test("a user of that name who is somebody else's is named", async () => {
  const server = scripted();
  await fetch(`${server.url}/v1/register`, {
    method: "POST",
    body: JSON.stringify({ user: "cid", password: "his own, longer" }),
  });
  await expect(run(server.url, { apiKey: undefined })).rejects.toThrow("@cid is there and was not made by this import");
});

const runScript = (...words: string[]) => runProgram("scripts/import-irc.ts", ...words);

async function runProgram(script: string, ...words: string[]) {
  const child = Bun.spawn([process.execPath, script, ...words], {
    cwd: `${import.meta.dir}/../..`,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, errors, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { out, errors, status };
}

test("the script says what to do about missing files, bad names and bad options, with status 2", async () => {
  const missing = await runScript("/nowhere/2005-02-06.log");
  expect(missing.status).toBe(2);
  expect(missing.errors).toContain("/nowhere/2005-02-06.log is not there: give the paths of logs");
  const unnamed = await runScript("package.json");
  expect(unnamed.status).toBe(2);
  expect(unnamed.errors).toContain("package.json: the name does not begin with a date like 2005-02-06");
  const none = await runScript();
  expect([none.status, none.errors]).toEqual([2, expect.stringContaining("no files: give the logs to play")]);
  const option = await runScript("--colour");
  expect([option.status, option.errors.split("\n").length]).toEqual([2, 2]);
});

test("a Latin-1 file is refused before anything is made; with --encoding and a long line it is played, and the counts say so", async () => {
  const server = scripted();
  const directory = mkdtempSync(join(tmpdir(), "import-irc-"));
  try {
    const file = join(directory, "2005-02-06.log");
    const rows = ["[04:04] <Jos\xe9> hello", `[04:05] <Jos\xe8> ${"x".repeat(17_000)}`, "[04:06] <Jos\xe8> bye"];
    writeFileSync(file, Buffer.from(`${rows.join("\n")}\n`, "latin1"));
    const to = [file, "--url", server.url, "--api-key", API_KEY, "--settle", "1", "--verify"];
    const refused = await runScript(...to);
    expect([refused.status, refused.out]).toEqual([2, ""]);
    expect(refused.errors).toContain(`${file}, line 1: this is not UTF-8; give --encoding latin1`);
    expect(server.groups.size).toBe(0);
    const played = await runScript(...to, "--encoding", "latin1");
    expect(played.status).toBe(0);
    expect(played.errors).toContain("import-irc: warning: 2005-02-06, line 2: not played, its text has 17000 bytes\n");
    expect(played.errors).toContain("1 too long and not played");
    expect(JSON.parse(played.out)).toMatchObject({ users: 2, group: 2, ...ZEROS, tooLongLines: 1, skippedLines: 0 });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test.each(["import-irc", "import-under-fire"])("%s --help fits a terminal and names what one types", async (name) => {
  const { out, status } = await runProgram(`scripts/${name}.ts`, "--help");
  expect(status).toBe(0);
  expect(out).toStartWith(`Usage: npm run ${name} -- FILES… [options]\n`);
  expect(Math.max(...out.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
});

test("without --url the server is the one that npm start runs", () => {
  expect(parseOptions(["package.json"], {})?.url).toBe("http://127.0.0.1:8080");
});
